import type { KubernetesObject, List, Status } from "@hawser/api";
import { type Answer, jsonAnswer } from "../http/respond.ts";
import { apiVersionOf, type ResourceKind, viewOf } from "../registry/kind.ts";
import { tableOf } from "./table.ts";
import type { Target } from "./target.ts";

/** Warnings one answer may have. */
const maxWarnings = 20;

/** Turns an object into the form its client asked for. */
export async function objectAnswer(target: Target, object: KubernetesObject, code = 200): Promise<Answer> {
  return encodeAnswer(target, transformObject(target, object), code);
}

/** A Status has one form only. */
export function successAnswer(status: Status): Answer {
  return jsonAnswer({ kind: "Status", apiVersion: "v1", metadata: {}, ...status }, status.code ?? 200);
}

/** Warnings that a client shows to people. Source: RFC 7234, 5.5; kubernetes/apimachinery pkg/util/net/http.go */
export function withWarnings(answer: Answer, warnings: string[]): Answer {
  if (warnings.length === 0) return answer;
  const values = warnings
    .slice(0, maxWarnings)
    .map((text) => `299 - ${JSON.stringify(text.replace(/[^\x20-\x7e]/g, "?"))}`);
  return { ...answer, headers: { ...answer.headers, Warning: values } };
}

export function transformObject({ kind, context, representation }: Target, object: KubernetesObject): unknown {
  switch (representation.as?.kind) {
    case "Table": {
      const metadata = { resourceVersion: object.metadata?.resourceVersion ?? "" };
      return tableOf({ kind, version: representation.as.version, query: context.url.searchParams }, [object], metadata);
    }
    case "PartialObjectMetadata":
      return partial(object, representation.as.version);
    default:
      return viewOf(kind, object);
  }
}

export async function listAnswer(
  target: Target,
  items: KubernetesObject[],
  metadata: List["metadata"],
): Promise<Answer> {
  const { kind, context, representation } = target;
  switch (representation.as?.kind) {
    case "Table": {
      const { version } = representation.as;
      return encodeAnswer(target, tableOf({ kind, version, query: context.url.searchParams }, items, metadata));
    }
    case "PartialObjectMetadataList": {
      const { version } = representation.as;
      return encodeAnswer(target, {
        kind: "PartialObjectMetadataList",
        apiVersion: `meta.k8s.io/${version}`,
        metadata,
        items: items.map((item) => partial(item, version)),
      });
    }
    default:
      return encodeAnswer(
        target,
        listOf(
          kind,
          items.map((item) => viewOf(kind, item)),
          metadata,
        ),
      );
  }
}

/** Items of a list do not repeat their kind. */
function listOf(kind: ResourceKind, items: KubernetesObject[], metadata: List["metadata"]): unknown {
  return {
    kind: `${kind.kind}List`,
    apiVersion: apiVersionOf(kind),
    metadata,
    items: items.map(({ kind: _, apiVersion: _1, ...item }) => item),
  };
}

function partial({ metadata }: KubernetesObject, version: string): KubernetesObject {
  return { kind: "PartialObjectMetadata", apiVersion: `meta.k8s.io/${version}`, ...(metadata && { metadata }) };
}

async function encodeAnswer({ representation, context }: Target, value: unknown, code = 200): Promise<Answer> {
  if (representation.mediaType === "application/yaml") {
    const { stringify } = await import("yaml");
    return { code, contentType: "application/yaml", body: stringify(value, { aliasDuplicateObjects: false }) };
  }
  if (context.url.searchParams.get("pretty") === "true") {
    return { code, contentType: "application/json", body: `${JSON.stringify(value, null, 2)}\n` };
  }
  return jsonAnswer(value, code);
}

/** Which representations the verbs can give. */
export function canRepresent(kinds: string[]): (representation: { as?: { kind: string; version: string } }) => boolean {
  return ({ as }) => as === undefined || (kinds.includes(as.kind) && (as.version === "v1" || as.version === "v1beta1"));
}
