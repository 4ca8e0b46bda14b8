// OpenAPI from the table of types: the same text in version 2 and 3, for clients that check before they send.

import { mergeKeyOf } from "../patch/merge-keys.ts";
import { apiVersionOf, type ResourceKind } from "../registry/kind.ts";
import { kinds } from "../registry/kinds.ts";
import { type Field, type MessageType, messageType, messageTypes, typeNameOf } from "../schema/schema.ts";
import { version } from "./version.ts";

export interface Schema {
  [member: string]: unknown;
}

const timeName = "io.k8s.apimachinery.pkg.apis.meta.v1.Time";
const microTimeName = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime";
const quantityName = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const intOrStringName = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";

/** What a scalar is when it has a name of its own. */
const namedScalars: Record<string, Schema> = {
  [timeName]: { type: "string", format: "date-time" },
  [microTimeName]: { type: "string", format: "date-time" },
  [quantityName]: { type: "string" },
  [intOrStringName]: { type: "string", format: "int-or-string" },
};

/** The members of all types, by OpenAPI name. `reference` makes a $ref of a name. */
export function definitions(reference: (name: string) => Schema): Record<string, Schema> {
  const types = [...messageTypes().values()].map((type) => [type.openAPIName, schemaOf(type, reference)] as const);
  return { ...Object.fromEntries(types), ...namedScalars };
}

function schemaOf(type: MessageType, reference: (name: string) => Schema): Schema {
  const served = kinds.filter((kind) => typeNameOf(kind) === type.name);
  const members = [...type.fields.values()].map((field) => [field.name, fieldSchema(type, field, reference)]);
  const required = [...type.fields.values()].filter((field) => field.required).map(({ name }) => name);
  const text = { type: "string" };
  return {
    type: "object",
    ...(required.length > 0 && { required }),
    properties: { ...(served.length > 0 && { apiVersion: text, kind: text }), ...Object.fromEntries(members) },
    ...(served.length > 0 && { "x-kubernetes-group-version-kind": served.map(groupVersionKind) }),
  };
}

function fieldSchema(type: MessageType, field: Field, reference: (name: string) => Schema): Schema {
  const item = field.scalar ? scalarSchema(field.type, reference) : reference(messageType(field.type).openAPIName);
  if (field.shape === "map") return { type: "object", additionalProperties: item };
  if (field.shape === "one") return item;
  const merge = mergeKeyOf(type.name, field.name);
  return {
    type: "array",
    items: item,
    ...(merge && { "x-kubernetes-patch-strategy": merge.retainKeys ? "merge,retainKeys" : "merge" }),
    ...(merge?.key && { "x-kubernetes-patch-merge-key": merge.key }),
  };
}

function scalarSchema(type: string, reference: (name: string) => Schema): Schema {
  switch (type) {
    case "int32":
    case "int64":
      return { type: "integer", format: type };
    case "bool":
      return { type: "boolean" };
    case "double":
      return { type: "number", format: "double" };
    case "bytes":
      return { type: "string", format: "byte" };
    case "Time":
      return reference(timeName);
    case "MicroTime":
      return reference(microTimeName);
    case "Quantity":
      return reference(quantityName);
    case "IntOrString":
      return reference(intOrStringName);
    case "ExtraValue":
      return { type: "array", items: { type: "string" } };
    case "FieldsV1":
    case "RawExtension":
      return { type: "object" };
  }
  return { type: "string" };
}

export function groupVersionKind({ group, version: v, kind }: Pick<ResourceKind, "group" | "version" | "kind">) {
  return { group, kind, version: v };
}

/** One query parameter, in either version's form. */
type Parameter = (name: string, type: "string" | "boolean" | "integer") => Schema;

const writeParameters = [
  ["dryRun", "string"],
  ["fieldManager", "string"],
  ["fieldValidation", "string"],
] as const;
const listParameters = [
  ["allowWatchBookmarks", "boolean"],
  ["continue", "string"],
  ["fieldSelector", "string"],
  ["labelSelector", "string"],
  ["limit", "integer"],
  ["resourceVersion", "string"],
  ["resourceVersionMatch", "string"],
  ["sendInitialEvents", "boolean"],
  ["timeoutSeconds", "integer"],
  ["watch", "boolean"],
] as const;
const deleteParameters = [
  ["dryRun", "string"],
  ["gracePeriodSeconds", "integer"],
  ["propagationPolicy", "string"],
] as const;

/** The paths of some kinds. */
export function paths(of: readonly ResourceKind[], parameter: Parameter): Record<string, Schema> {
  return Object.fromEntries(of.flatMap((kind) => pathsOf(kind, parameter)));
}

function pathsOf(kind: ResourceKind, parameter: Parameter): [string, Schema][] {
  const base = kind.group ? `/apis/${apiVersionOf(kind)}` : `/api/${kind.version}`;
  const scope = kind.namespaced ? "/namespaces/{namespace}" : "";
  const operation = (
    action: string,
    names: readonly (readonly [string, "string" | "boolean" | "integer"])[],
  ): Schema => ({
    operationId: `${action}${kind.namespaced ? "Namespaced" : ""}${kind.kind}`,
    parameters: names.map(([name, type]) => parameter(name, type)),
    responses: { "200": { description: "OK" } },
    "x-kubernetes-action": action,
    "x-kubernetes-group-version-kind": groupVersionKind(kind),
  });
  return [
    [
      `${base}${scope}/${kind.resource}`,
      {
        get: operation("list", listParameters),
        post: operation("post", writeParameters),
        delete: operation("deletecollection", deleteParameters),
      },
    ],
    [
      `${base}${scope}/${kind.resource}/{name}`,
      {
        get: operation("get", []),
        put: operation("put", writeParameters),
        patch: operation("patch", writeParameters),
        delete: operation("delete", deleteParameters),
      },
    ],
  ];
}

export const info = { title: "Kubernetes", version: version.gitVersion };
