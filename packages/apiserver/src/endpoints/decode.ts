import { badRequest, type KubernetesObject } from "@hawser/api";
import { apiVersionOf, type ResourceKind } from "../registry/kind.ts";

/** Checks that a body is an object of this kind. Throws StatusError 400 in the real server's words. */
export function asKind(kind: ResourceKind, body: Record<string, unknown> | undefined): KubernetesObject {
  if (!body)
    throw badRequest(
      "the object provided is unrecognized (must be of type " +
        `${kind.kind}): couldn't get version/kind; json parse error: unexpected end of JSON input`,
    );
  const expected = apiVersionOf(kind);
  const { apiVersion = expected, kind: name = kind.kind, metadata } = body;
  if (apiVersion !== expected) {
    throw badRequest(
      `the API version in the data (${String(apiVersion)}) does not match the expected API version (${expected})`,
    );
  }
  if (name !== kind.kind) {
    const unversioned = { group: kind.group, version: kind.version };
    throw badRequest(
      `${String(name)} in version ${JSON.stringify(unversioned.version)} cannot be handled as a ${kind.kind}: converting (${String(name)}) to (${kind.kind}): unknown conversion`,
    );
  }
  if (metadata !== undefined && (typeof metadata !== "object" || metadata === null || Array.isArray(metadata))) {
    throw badRequest(
      `${kind.kind} in version ${JSON.stringify(kind.version)} cannot be handled as a ${kind.kind}: json: cannot unmarshal ${typeOf(metadata)} into Go struct field ${kind.kind}.metadata of type v1.ObjectMeta`,
    );
  }
  return body as KubernetesObject;
}

export function typeOf(value: unknown): string {
  if (Array.isArray(value)) return "array";
  if (typeof value === "boolean") return "bool";
  return value === null ? "null" : typeof value;
}
