import { types } from "./types.ts";

/** Types that are not made of members. `Time` is a string in JSON and a message on the wire, and so on. */
export type Scalar =
  | "string"
  | "int32"
  | "int64"
  | "bool"
  | "bytes"
  | "double"
  | "Time"
  | "MicroTime"
  | "Quantity"
  | "IntOrString"
  | "FieldsV1"
  | "RawExtension"
  | "ExtraValue";

const scalars = new Set<string>([
  ...["string", "int32", "int64", "bool", "bytes", "double", "Time", "MicroTime"],
  ...["Quantity", "IntOrString", "FieldsV1", "RawExtension", "ExtraValue"],
]);

export interface Field {
  name: string;
  /** On the protobuf wire. */
  number: number;
  shape: "one" | "list" | "map";
  /** A scalar, or the full name of a message: `core.PodSpec`. */
  type: string;
  scalar: boolean;
  required: boolean;
  /** In JSON, its members stand in the parent. */
  inline: boolean;
}

export interface MessageType {
  /** `core.Pod` */
  name: string;
  /** `Pod` */
  shortName: string;
  /** As OpenAPI calls it: `io.k8s.api.core.v1.Pod` */
  openAPIName: string;
  /** As JSON has them. */
  fields: Map<string, Field>;
  byNumber: Map<number, Field>;
}

let parsed: Map<string, MessageType> | undefined;

/** All message types by full name; read on first use. */
export function messageTypes(): ReadonlyMap<string, MessageType> {
  parsed ??= parse();
  return parsed;
}

/** Throws RangeError for a type that is not in the table. */
export function messageType(name: string): MessageType {
  const type = messageTypes().get(name);
  if (!type) throw new RangeError(`no such type: ${name}`);
  return type;
}

/** The package of a group's types; the core group's is `core`. */
export function typeNameOf({ group, kind }: { group: string; kind: string }): string {
  return `${group === "" ? "core" : (group.split(".")[0] ?? "")}.${kind}`;
}

function parse(): Map<string, MessageType> {
  const found = new Map<string, MessageType>();
  const inline: [MessageType, Field][] = [];
  let inPackage = "";
  let current: MessageType | undefined;
  for (const line of types.split("\n")) {
    if (line === "") continue;
    if (line.startsWith("# ")) inPackage = line.slice(2);
    else if (!line.startsWith(" ")) {
      current = {
        name: `${inPackage}.${line}`,
        shortName: line,
        openAPIName: openAPIName(inPackage, line),
        fields: new Map(),
        byNumber: new Map(),
      };
      found.set(current.name, current);
    } else if (current) {
      const field = fieldOf(line, inPackage);
      current.byNumber.set(field.number, field);
      if (field.inline) inline.push([current, field]);
      else current.fields.set(field.name, field);
    }
  }
  for (const [parent, field] of inline) {
    for (const [name, member] of found.get(field.type)?.fields ?? []) parent.fields.set(name, member);
  }
  return found;
}

function fieldOf(line: string, inPackage: string): Field {
  const match = /^ {2}(\S+) (\d+) (\^|\[\]|map )?(\S+?)( !)?$/.exec(line);
  if (!match) throw new SyntaxError(`types: ${line}`);
  const [, name = "", number, shape, type = "", required] = match;
  const scalar = scalars.has(type);
  return {
    name,
    number: Number(number),
    shape: shape === "[]" ? "list" : shape === "map " ? "map" : "one",
    type: scalar || type.includes(".") ? type : `${inPackage}.${type}`,
    scalar,
    required: required !== undefined,
    inline: shape === "^",
  };
}

function openAPIName(inPackage: string, name: string): string {
  return inPackage === "meta" ? `io.k8s.apimachinery.pkg.apis.meta.v1.${name}` : `io.k8s.api.${inPackage}.v1.${name}`;
}
