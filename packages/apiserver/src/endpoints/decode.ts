import { badRequest, type KubernetesObject } from "@hawser/api";
import { apiVersionOf, type ResourceKind } from "../registry/kind.ts";
import { checkJSON, TypeMismatch } from "../schema/check.ts";
import { messageType, typeNameOf } from "../schema/schema.ts";
import type { FieldValidation } from "./query.ts";

export interface Decoded {
  object: KubernetesObject;
  /** For the client to read: what was not understood. */
  warnings: string[];
}

/**
 * Reads a body as an object of this kind: each member has its type, and what the type does not know is left out,
 * with a warning or, when asked for, an error. Throws StatusError 400 in the real server's words.
 */
export function asKind(
  kind: ResourceKind,
  body: Record<string, unknown> | undefined,
  validation: FieldValidation,
): Decoded {
  const unusable = `${kind.kind} in version ${JSON.stringify(kind.version)} cannot be handled as a ${kind.kind}`;
  const expected = apiVersionOf(kind);
  if (!body) throw badRequest(`${unusable}: unexpected end of JSON input`);
  const { apiVersion = expected, kind: name = kind.kind } = body;
  if (apiVersion !== expected) {
    throw badRequest(
      `the API version in the data (${String(apiVersion)}) does not match the expected API version (${expected})`,
    );
  }
  if (name !== kind.kind) {
    const versioned = `${String(name)} in version ${JSON.stringify(kind.version)}`;
    throw badRequest(
      `${versioned} cannot be handled as a ${kind.kind}: converting (${String(name)}) to (${kind.kind}): unknown conversion`,
    );
  }
  try {
    const { object, unknown } = checkJSON(messageType(typeNameOf(kind)), body);
    if (unknown.length > 0 && validation === "Strict") {
      throw badRequest(`${unusable}: strict decoding error: ${unknown.join(", ")}`);
    }
    return { object: object as KubernetesObject, warnings: validation === "Warn" ? unknown : [] };
  } catch (error) {
    throw error instanceof TypeMismatch ? badRequest(`${unusable}: ${error.message}`, error) : error;
  }
}
