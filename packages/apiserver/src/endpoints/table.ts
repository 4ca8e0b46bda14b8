import { badRequest, type KubernetesObject, type List } from "@hawser/api";
import { defaultColumns } from "../registry/columns.ts";
import { type ResourceKind, storedKind, viewOf } from "../registry/kind.ts";

/**
 * A Table of meta.k8s.io: what kubectl prints.
 *
 * Source: kubernetes/apimachinery pkg/apis/meta/v1/types.go, kubernetes/apiserver pkg/endpoints/handlers/response.go
 */
export interface Table {
  kind: "Table";
  apiVersion: string;
  metadata: List["metadata"];
  columnDefinitions: { name: string; type: string; format: string; description: string; priority: number }[];
  rows: { cells: (string | number)[]; object?: unknown }[];
}

export interface TableOptions {
  kind: ResourceKind;
  version: string;
  /** `includeObject`: None, Metadata (the default) or Object. */
  query: URLSearchParams;
  /** A watch says what the columns are only once. */
  withoutColumns?: boolean;
  now?: Date;
}

export function tableOf(options: TableOptions, objects: KubernetesObject[], metadata: List["metadata"]): Table {
  const { kind, version, query, withoutColumns = false, now = new Date() } = options;
  const columns = storedKind(kind).columns ?? defaultColumns;
  const include = includedPart(kind, query.get("includeObject"), version);
  return {
    kind: "Table",
    apiVersion: `meta.k8s.io/${version}`,
    metadata,
    columnDefinitions: withoutColumns
      ? []
      : columns.map(({ name, type, format = "", description, priority = 0 }) => ({
          name,
          type,
          format,
          description,
          priority,
        })),
    rows: objects.map((object) => ({ cells: columns.map((column) => column.cell(object, now)), ...include(object) })),
  };
}

function includedPart(
  kind: ResourceKind,
  include: string | null,
  version: string,
): (object: KubernetesObject) => { object?: unknown } {
  switch (include ?? "") {
    case "None":
      return () => ({});
    case "Object":
      return (object) => ({ object: viewOf(kind, object) });
    case "":
    case "Metadata":
      return ({ metadata }) => ({
        object: { kind: "PartialObjectMetadata", apiVersion: `meta.k8s.io/${version}`, metadata },
      });
  }
  throw badRequest(`unrecognized includeObject value: ${JSON.stringify(include)}`);
}
