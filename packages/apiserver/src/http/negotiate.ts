import { failure, type StatusError } from "@hawser/api";

/** How a client wants its answer. */
export interface Representation {
  mediaType: "application/json" | "application/yaml";
  /** `Table`, `PartialObjectMetadata` and others of meta.k8s.io; missing: the object itself. */
  as?: { kind: string; version: string };
  /** Every parameter the accepted clause had. */
  parameters: Record<string, string>;
}

interface Clause extends Representation {
  quality: number;
}

/**
 * Chooses among what an Accept header offers; the first of the highest quality that `acceptable` likes.
 * Throws StatusError 406 when there is none.
 *
 * Source: kubernetes/apiserver pkg/endpoints/handlers/negotiation/negotiate.go
 */
export function negotiate(
  accept: string | undefined,
  acceptable: (representation: Representation) => boolean = () => true,
): Representation {
  if (!accept?.trim()) return { mediaType: "application/json", parameters: {} };
  const clauses = accept.split(",").flatMap((part) => clauseOf(part) ?? []);
  const usable = clauses.filter((clause) => clause.quality > 0 && acceptable(clause));
  const best = usable.toSorted((a, b) => b.quality - a.quality)[0];
  if (!best) throw notAcceptable();
  return best;
}

function clauseOf(text: string): Clause | undefined {
  const [type = "", ...rest] = text.split(";").map((part) => part.trim());
  const mediaType = mediaTypes[type.toLowerCase()];
  if (!mediaType) return undefined;
  const parameters = Object.fromEntries(rest.map((part) => pairOf(part)));
  const { as: kind, g: group, v: version = "", q } = parameters;
  if (kind && group !== "meta.k8s.io" && group !== "apidiscovery.k8s.io") return undefined;
  const quality = q === undefined ? 1 : Number(q);
  return {
    mediaType,
    parameters,
    quality: Number.isNaN(quality) ? 0 : quality,
    ...(kind && { as: { kind, version } }),
  };
}

const mediaTypes: Record<string, Representation["mediaType"]> = {
  "application/json": "application/json",
  "application/yaml": "application/yaml",
  "application/*": "application/json",
  "*/*": "application/json",
};

function pairOf(text: string): [string, string] {
  const at = text.indexOf("=");
  if (at < 0) return [text, ""];
  return [
    text.slice(0, at).trim().toLowerCase(),
    text
      .slice(at + 1)
      .trim()
      .replace(/^"|"$/g, ""),
  ];
}

function notAcceptable(): StatusError {
  return failure({
    code: 406,
    reason: "NotAcceptable",
    message: "only the following media types are accepted: application/json, application/yaml",
  });
}
