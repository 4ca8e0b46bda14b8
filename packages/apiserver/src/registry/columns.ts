import type { KubernetesObject } from "@hawser/api";
import { ageOf } from "./duration.ts";
import type { Column } from "./kind.ts";

export const nameColumn: Column<KubernetesObject> = {
  name: "Name",
  type: "string",
  format: "name",
  description: "Name of the object, unique within its namespace.",
  cell: ({ metadata }) => metadata?.name ?? "",
};

export const ageColumn: Column<KubernetesObject> = {
  name: "Age",
  type: "string",
  description: "Time since the object was created.",
  cell: ({ metadata }, now) => ageOf(metadata?.creationTimestamp, now),
};

/** What the real server shows of a kind without columns of its own. */
export const createdAtColumn: Column<KubernetesObject> = {
  name: "Created At",
  type: "string",
  description: "When the object was created.",
  cell: ({ metadata }) => String(metadata?.creationTimestamp ?? "<unknown>"),
};

export const defaultColumns: Column<KubernetesObject>[] = [nameColumn, createdAtColumn];

/** A column of text; empty shows as `<none>`. */
export function text<T>(
  name: string,
  description: string,
  cell: (object: T) => string,
  priority: 0 | 1 = 0,
): Column<T> {
  return { name, type: "string", description, priority, cell: (object) => cell(object) || "<none>" };
}
