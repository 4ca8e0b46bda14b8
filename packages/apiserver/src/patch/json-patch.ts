import { isDeepStrictEqual } from "node:util";
import { badRequest, failure, type StatusError } from "@hawser/api";

/** Operations one patch may have. Source: kubernetes/apiserver pkg/endpoints/handlers/patch.go maxJSONPatchOperations */
const maxOperations = 10_000;

interface Operation {
  op: string;
  path: string;
  from?: string;
  value?: unknown;
}

/**
 * Applies a JSON patch (RFC 6902) to a copy of `document`.
 * Throws StatusError 400 for a patch that cannot be read, 413 for one too long, 422 for one that does not fit.
 */
export function applyJSONPatch(document: unknown, patch: unknown): unknown {
  const operations = operationsOf(patch);
  let result: unknown = structuredClone(document);
  for (const operation of operations) result = apply(result, operation);
  return result;
}

function operationsOf(patch: unknown): Operation[] {
  if (!Array.isArray(patch))
    throw badRequest("error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch");
  if (patch.length > maxOperations) {
    throw failure({
      code: 413,
      reason: "RequestEntityTooLarge",
      message: `The allowed maximum operations in a JSON patch is ${maxOperations}, got ${patch.length}`,
    });
  }
  return patch.map((operation: Partial<Operation> | null) => {
    const { op, path, from, value } = operation ?? {};
    if (typeof op !== "string" || typeof path !== "string" || (from !== undefined && typeof from !== "string")) {
      throw badRequest("error decoding patch: an operation needs op and path");
    }
    return { op, path, ...(from !== undefined && { from }), ...(operation && "value" in operation && { value }) };
  });
}

function apply(document: unknown, { op, path, from = "", value }: Operation): unknown {
  switch (op) {
    case "add":
      return add(document, path, value);
    case "remove":
      return remove(document, path, op).rest;
    case "replace":
      if (path === "") return value;
      return add(remove(document, path, op).rest, path, value);
    case "move": {
      const { rest, taken } = remove(document, from, op);
      return add(rest, path, taken);
    }
    case "copy":
      return add(document, path, structuredClone(read(document, from, op)));
    case "test":
      if (!isDeepStrictEqual(read(document, path, op) ?? null, value ?? null)) {
        throw unfit(`testing value ${path} failed: test failed`);
      }
      return document;
  }
  throw badRequest(`error decoding patch: Unexpected kind: ${op}`);
}

function tokensOf(path: string): string[] {
  if (path === "") return [];
  if (!path.startsWith("/")) throw unfit(`invalid path ${JSON.stringify(path)}`);
  return path
    .slice(1)
    .split("/")
    .map((token) => token.replaceAll("~1", "/").replaceAll("~0", "~"));
}

function read(document: unknown, path: string, op: string): unknown {
  return tokensOf(path).reduce((at: unknown, token) => child(at, token, { op, path }), document);
}

interface Place {
  op: string;
  path: string;
}

function child(parent: unknown, token: string, { op, path }: Place): unknown {
  if (Array.isArray(parent)) return parent[index(token, parent.length - 1, { op, path })];
  if (isMembers(parent) && Object.hasOwn(parent, token)) return parent[token];
  throw unfit(`${op} operation does not apply: doc is missing path: ${path}: missing value`);
}

function parentOf(document: unknown, path: string, op: string): { parent: unknown; token: string } {
  const tokens = tokensOf(path);
  const token = tokens.pop() ?? "";
  return { parent: tokens.reduce((at: unknown, part) => child(at, part, { op, path }), document), token };
}

function add(document: unknown, path: string, value: unknown): unknown {
  if (path === "") return value;
  const { parent, token } = parentOf(document, path, "add");
  if (Array.isArray(parent)) {
    parent.splice(token === "-" ? parent.length : index(token, parent.length, { op: "add", path }), 0, value);
  } else if (isMembers(parent)) {
    setMember(parent, token, value);
  } else throw unfit(`add operation does not apply: doc is missing path: ${JSON.stringify(path)}: missing value`);
  return document;
}

function remove(document: unknown, path: string, op: string): { rest: unknown; taken: unknown } {
  if (path === "") return { rest: null, taken: document };
  const { parent, token } = parentOf(document, path, op);
  const taken = child(parent, token, { op, path });
  if (Array.isArray(parent)) parent.splice(index(token, parent.length - 1, { op, path }), 1);
  else if (isMembers(parent)) delete parent[token];
  return { rest: document, taken };
}

function index(token: string, max: number, { op, path }: Place): number {
  const value = Number(token);
  if (/^(0|[1-9]\d*)$/.test(token) && value <= max) return value;
  throw unfit(`${op} operation does not apply: doc is missing path: ${JSON.stringify(path)}: invalid array index`);
}

/** `__proto__` is a name like any other here. */
export function setMember(target: Record<string, unknown>, name: string, value: unknown): void {
  Object.defineProperty(target, name, { value, writable: true, enumerable: true, configurable: true });
}

export function isMembers(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function unfit(message: string): StatusError {
  return failure({
    code: 422,
    reason: "Invalid",
    message: `the server rejected our request due to an error in our request`,
    cause: new Error(message),
  });
}
