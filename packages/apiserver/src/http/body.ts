import { badRequest, failure, StatusError } from "@hawser/api";
import type { Request } from "../request.ts";
import { decodeProtobuf } from "../schema/protobuf.ts";

/** What newer clients send; answers are JSON all the same, which they take as well. */
const protobufType = "application/vnd.kubernetes.protobuf";

/** Bytes a request's body may have; kube-apiserver's --max-request-body-bytes. */
export const maxBody = 3 * 1024 * 1024;

/** Bytes of YAML: reading it takes about 2 s for each MiB, in which nothing else runs. */
const maxYAML = 256 * 1024;

/** All of a request's body. Throws StatusError 413 when it is larger than 3 MiB, and the signal's reason when aborted. */
export async function readBody(request: Request, signal: AbortSignal): Promise<Buffer> {
  if (Number(request.headers["content-length"] ?? 0) > maxBody) throw tooLarge();
  const chunks: Buffer[] = [];
  let size = 0;
  using _stop = onAbort(signal, () => request.destroy());
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.byteLength;
    if (size > maxBody) throw tooLarge();
    chunks.push(chunk);
  }
  signal.throwIfAborted();
  return Buffer.concat(chunks);
}

/**
 * The object a body holds, as JSON, YAML or protobuf; undefined for an empty body.
 * Throws StatusError 415 for another format, 400 for one that cannot be read.
 */
export async function decodeBody(
  body: Buffer,
  contentType: string | undefined,
): Promise<Record<string, unknown> | undefined> {
  const type = mediaTypeOf(contentType);
  if (body.byteLength === 0) return undefined;
  if (type === protobufType) return fromProtobuf(body);
  const value = await parse(body.toString("utf8"), type);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw badRequest(`the object provided is unrecognized: ${type} must be an object`);
  }
  return value as Record<string, unknown>;
}

export function mediaTypeOf(contentType: string | undefined): string {
  return contentType?.split(";")[0]?.trim().toLowerCase() || "application/json";
}

function fromProtobuf(body: Buffer): Record<string, unknown> {
  try {
    return decodeProtobuf(body);
  } catch (cause) {
    throw badRequest(`the object provided is unrecognized: ${cause instanceof Error ? cause.message : cause}`, cause);
  }
}

async function parse(text: string, type: string): Promise<unknown> {
  try {
    if (type === "application/json") return JSON.parse(text);
    if (type === "application/yaml" && text.length > maxYAML) throw tooLarge(maxYAML);
    if (type === "application/yaml") return (await import("yaml")).parse(text, { maxAliasCount: 100 });
  } catch (cause) {
    if (cause instanceof StatusError) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw badRequest(
      `the object provided is unrecognized: couldn't get version/kind; ${type} parse error: ${why}`,
      cause,
    );
  }
  throw unsupportedMediaType(["application/json", "application/yaml", protobufType]);
}

export function unsupportedMediaType(accepted: string[]): StatusError {
  return failure({
    code: 415,
    reason: "UnsupportedMediaType",
    message: `the body of the request was in an unknown format - accepted media types include: ${accepted.join(", ")}`,
  });
}

function tooLarge(limit = maxBody): StatusError {
  return failure({
    code: 413,
    reason: "RequestEntityTooLarge",
    message: `Request entity too large: limit is ${limit}`,
  });
}

export function onAbort(signal: AbortSignal, listener: () => void): Disposable {
  if (signal.aborted) listener();
  signal.addEventListener("abort", listener, { once: true });
  return { [Symbol.dispose]: () => signal.removeEventListener("abort", listener) };
}
