import { badRequest, type KubernetesObject } from "@hawser/api";
import { mediaTypeOf, readBody, unsupportedMediaType } from "../http/body.ts";
import type { Answer } from "../http/respond.ts";
import { applyJSONPatch, isMembers } from "../patch/json-patch.ts";
import { applyMergePatch } from "../patch/merge-patch.ts";
import { applyStrategicMergePatch } from "../patch/strategic.ts";
import { type ResourceKind, type Subresource, storedKind, viewOf } from "../registry/kind.ts";
import { updateObject } from "../registry/store.ts";
import { maxDepth } from "../schema/check.ts";
import { typeNameOf } from "../schema/schema.ts";
import { asKind } from "./decode.ts";
import { fieldValidationOf, isDryRun } from "./query.ts";
import type { EndpointDeps, Target } from "./target.ts";
import { objectAnswer, withWarnings } from "./transform.ts";
import { checkName } from "./write.ts";

type Apply = (current: KubernetesObject) => unknown;

/** PATCH of one object, or of its status; server-side apply is refused. */
export async function patch(deps: EndpointDeps, target: Target): Promise<Answer> {
  const { store, access } = deps;
  const { kind, context } = target;
  const { info, request, url, user, signal } = context;
  const type = mediaTypeOf(request.headers["content-type"] ?? "none");
  const apply = applyOf(kind, type, await readBody(request, signal));
  const validation = fieldValidationOf(url.searchParams);
  let warnings: string[] = [];
  const change = async (current: KubernetesObject) => {
    const result = apply(viewOf(kind, current));
    const decoded = asKind(kind, isMembers(result) ? result : undefined, validation);
    const next = decoded.object;
    warnings = decoded.warnings;
    checkName(kind, next, info);
    const own = structuredClone(kind.view ? kind.view.fromView(next) : next);
    await access.admit(user, info, own);
    return own;
  };
  const options = { subresource: info.subresource as Subresource, dryRun: isDryRun(url.searchParams) };
  const patched = await updateObject(store, storedKind(kind), info, change, options);
  return withWarnings(await objectAnswer(target, patched), warnings);
}

function applyOf(kind: ResourceKind, mediaType: string, body: Buffer): Apply {
  switch (mediaType) {
    case "application/json-patch+json": {
      const operations = parse(body);
      return (current) => applyJSONPatch(current, operations);
    }
    case "application/merge-patch+json": {
      const changes = membersOf(parse(body));
      return (current) => applyMergePatch(current, changes);
    }
    case "application/strategic-merge-patch+json": {
      const changes = membersOf(parse(body));
      const type = typeNameOf(kind);
      return (current) => applyStrategicMergePatch({ ...current }, changes, type);
    }
  }
  throw unsupportedMediaType([
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
  ]);
}

function parse(body: Buffer): unknown {
  let value: unknown;
  try {
    value = JSON.parse(body.toString("utf8"));
  } catch (cause) {
    throw badRequest(`error decoding patch: ${cause instanceof Error ? cause.message : cause}`, cause);
  }
  if (isDeeper(value, maxDepth)) throw badRequest("error decoding patch: exceeded max depth");
  return value;
}

/** Level by level, so that a deep value costs no stack. */
function isDeeper(value: unknown, levels: number): boolean {
  let level = [value];
  for (let depth = 0; depth <= levels && level.length > 0; depth++) {
    level = level.flatMap((item) => (typeof item === "object" && item !== null ? Object.values(item) : []));
  }
  return level.length > 0;
}

function membersOf(patch: unknown): Record<string, unknown> {
  if (isMembers(patch)) return patch;
  throw badRequest("error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}");
}
