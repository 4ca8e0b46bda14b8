import {
  badRequest,
  type FieldRequirement,
  type KubernetesObject,
  type LabelSelector,
  matchesFields,
  matchesLabels,
  parseFieldSelector,
  parseLabelSelector,
} from "@hawser/api";
import type { ResourceKind } from "./kind.ts";

export interface Selection {
  labels: LabelSelector;
  fields: FieldRequirement[];
  matches(object: KubernetesObject): boolean;
  /** Selects everything. */
  all: boolean;
}

/** Throws StatusError 400 for a selector that cannot be read or names a field that cannot be selected by. */
export function selectionOf(kind: ResourceKind, { labelSelector = "", fieldSelector = "" }): Selection {
  const labels = parseLabelSelector(labelSelector);
  const fields = parseFieldSelector(fieldSelector);
  if (fields.length > 0) {
    const known = fieldsOf(kind, {});
    const strange = fields.find(({ field }) => !Object.hasOwn(known, field));
    if (strange) throw badRequest(`field label not supported: ${strange.field}`);
  }
  return {
    labels,
    fields,
    all: labels.length === 0 && fields.length === 0,
    matches: (object) =>
      matchesLabels(labels, object.metadata?.labels) &&
      (fields.length === 0 || matchesFields(fields, fieldsOf(kind, object))),
  };
}

function fieldsOf(kind: ResourceKind, object: KubernetesObject): Record<string, string> {
  return {
    "metadata.name": object.metadata?.name ?? "",
    ...(kind.namespaced && { "metadata.namespace": object.metadata?.namespace ?? "" }),
    ...kind.fields?.(object),
  };
}
