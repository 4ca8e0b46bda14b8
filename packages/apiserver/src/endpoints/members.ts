import { badRequest } from "@hawser/api";
import { decodeBody, readBody } from "../http/body.ts";
import type { RequestContext } from "../request.ts";
import { checkJSON, TypeMismatch } from "../schema/check.ts";
import { messageTypes } from "../schema/schema.ts";

/** Where the types of bodies that are no stored objects are found. */
const packages = ["core", "authentication", "authorization", "meta"];

/**
 * The body of a request that is no stored object, its members checked where its type is in the table; an empty body has none.
 * Throws StatusError 400.
 */
export async function readMembers({ request, signal }: RequestContext, kind: string): Promise<Record<string, unknown>> {
  const body = (await decodeBody(await readBody(request, signal), request.headers["content-type"])) ?? {};
  const { kind: name = kind } = body;
  if (name !== kind) throw badRequest(`${String(name)} cannot be handled as a ${kind}`);
  const type = packages.map((one) => messageTypes().get(`${one}.${kind}`)).find((one) => one !== undefined);
  if (!type) return body;
  try {
    return checkJSON(type, body).object;
  } catch (error) {
    throw error instanceof TypeMismatch
      ? badRequest(`${kind} in version "v1" cannot be handled as a ${kind}: ${error.message}`, error)
      : error;
  }
}
