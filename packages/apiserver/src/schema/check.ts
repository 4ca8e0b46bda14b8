import { formatQuantity, parseQuantity } from "@hawser/api";
import { type Field, type MessageType, messageType, type Scalar } from "./schema.ts";

/** A value that does not have its field's type; the text is what Go's JSON decoder says. */
export class TypeMismatch extends Error {
  override readonly name = "TypeMismatch";
}

export interface Checked {
  /** A copy with only what its type knows, without nulls, and with times and quantities in their usual form. */
  object: Record<string, unknown>;
  /** What was left out: `unknown field "spec.containers[0].foo"`. */
  unknown: string[];
}

/** Nesting a document may have. */
export const maxDepth = 100;

/** Reads JSON as a message of this type. Throws TypeMismatch. */
export function checkJSON(type: MessageType, value: Record<string, unknown>): Checked {
  const unknown: string[] = [];
  const object = members(type, value, { path: "", plain: "", unknown, depth: 0 });
  return { object, unknown };
}

interface At {
  /** With indices, as people read it. */
  path: string;
  /** Without, as Go's decoder says it. */
  plain: string;
  unknown: string[];
  depth: number;
}

function members(type: MessageType, value: Record<string, unknown>, at: At): Record<string, unknown> {
  if (at.depth > maxDepth) throw new TypeMismatch("exceeded max depth");
  const result: Record<string, unknown> = {};
  for (const [name, member] of Object.entries(value)) {
    if (at.depth === 0 && (name === "kind" || name === "apiVersion")) {
      result[name] = member;
      continue;
    }
    const field = type.fields.get(name);
    if (!field) at.unknown.push(`unknown field ${JSON.stringify(join(at.path, name))}`);
    else if (member !== null) result[name] = fieldValue(type, field, member, below(at, name));
  }
  return result;
}

function fieldValue(parent: MessageType, field: Field, value: unknown, at: At): unknown {
  if (field.shape === "list") {
    if (!Array.isArray(value)) throw mismatch(parent, field, value, at);
    return value.map((item, index) => one(parent, field, item, { ...at, path: `${at.path}[${index}]` }));
  }
  if (field.shape === "map") {
    if (!isMembers(value)) throw mismatch(parent, field, value, at);
    const entries = Object.entries(value).filter(([, member]) => member !== null);
    const checked = entries.map(([key, member]) => [
      key,
      one(parent, field, member, { ...at, path: join(at.path, key) }),
    ]);
    return Object.fromEntries(checked);
  }
  return one(parent, field, value, at);
}

function one(parent: MessageType, field: Field, value: unknown, at: At): unknown {
  if (field.scalar) return scalar(parent, field, value, at);
  if (!isMembers(value)) throw mismatch(parent, field, value, at);
  return members(messageType(field.type), value, at);
}

function scalar(parent: MessageType, field: Field, value: unknown, at: At): unknown {
  const wrong = () => mismatch(parent, field, value, at);
  switch (field.type as Scalar) {
    case "string":
      if (typeof value !== "string") throw wrong();
      return value;
    case "bool":
      if (typeof value !== "boolean") throw wrong();
      return value;
    case "int32":
    case "int64":
      if (typeof value !== "number" || !Number.isInteger(value)) throw wrong();
      if (field.type === "int32" && (value > 0x7fffffff || value < -0x80000000)) throw wrong();
      return value;
    case "double":
      if (typeof value !== "number") throw wrong();
      return value;
    case "bytes":
      if (typeof value !== "string") throw wrong();
      return base64(value);
    case "Quantity":
      if (typeof value !== "string" && typeof value !== "number") throw wrong();
      return quantity(String(value));
    case "IntOrString":
      if (typeof value !== "string" && !(typeof value === "number" && Number.isInteger(value))) throw wrong();
      return value;
    case "Time":
    case "MicroTime":
      if (typeof value !== "string") throw wrong();
      return time(value, field.type === "MicroTime");
    case "ExtraValue":
      if (!Array.isArray(value) || value.some((item) => typeof item !== "string")) throw wrong();
      return value;
    case "FieldsV1":
    case "RawExtension":
      return value;
  }
}

function base64(text: string): string {
  const clean = text.replace(/[\r\n]/g, "");
  const bad = clean.search(/[^A-Za-z0-9+/=]/);
  if (bad >= 0 || clean.length % 4 !== 0 || /=(?!=?$)/.test(clean)) {
    throw new TypeMismatch(`illegal base64 data at input byte ${bad >= 0 ? bad : Math.floor(clean.length / 4) * 4}`);
  }
  return clean;
}

/** In the form the real server gives it back: `0.1` becomes `100m`, `1024Ki` becomes `1Mi`. */
function quantity(text: string): string {
  let value: number;
  try {
    value = parseQuantity(text);
  } catch (cause) {
    throw new TypeMismatch(cause instanceof Error ? cause.message : String(cause));
  }
  // Exponents keep their form; more digits than a number holds are left alone.
  if (/[eE]\d/.test(text) || text.replace(/\D/g, "").length > 15) return text;
  return formatQuantity(value, /i$/.test(text) ? "binary" : "decimal");
}

function time(text: string, micro: boolean): string {
  const match = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$/.exec(text);
  const date = new Date(text);
  if (!match || Number.isNaN(date.getTime())) {
    const layout = micro ? "2006-01-02T15:04:05.000000Z07:00" : "2006-01-02T15:04:05Z07:00";
    throw new TypeMismatch(
      `parsing time ${JSON.stringify(text)} as ${JSON.stringify(layout)}: cannot parse ${JSON.stringify(text)}`,
    );
  }
  const seconds = date.toISOString().slice(0, 19);
  return micro ? `${seconds}.${(match[1] ?? ".").slice(1).padEnd(6, "0").slice(0, 6)}Z` : `${seconds}Z`;
}

function mismatch(parent: MessageType, field: Field, value: unknown, at: At): TypeMismatch {
  const shown =
    typeof value === "number"
      ? `number${Number.isInteger(value) && !/int/.test(field.type) ? "" : ` ${value}`}`
      : jsonType(value);
  return new TypeMismatch(
    `json: cannot unmarshal ${shown} into Go struct field ${parent.shortName}.${at.plain} of type ${goType(field, Array.isArray(value))}`,
  );
}

function goType({ shape, type, scalar }: Field, isList: boolean): string {
  const name = scalar ? (goScalars[type] ?? type) : `v1.${type.slice(type.indexOf(".") + 1)}`;
  if (shape === "map") return `map[string]${name}`;
  return shape === "list" && !isList ? `[]${name}` : name;
}

const goScalars: Record<string, string> = {
  bytes: "[]uint8",
  double: "float64",
  Time: "v1.Time",
  MicroTime: "v1.MicroTime",
  Quantity: "resource.Quantity",
  IntOrString: "intstr.IntOrString",
  ExtraValue: "v1.ExtraValue",
};

function jsonType(value: unknown): string {
  if (Array.isArray(value)) return "array";
  return typeof value === "boolean" ? "bool" : typeof value;
}

function below(at: At, name: string): At {
  return { ...at, path: join(at.path, name), plain: join(at.plain, name), depth: at.depth + 1 };
}

function join(path: string, name: string): string {
  return path === "" ? name : `${path}.${name}`;
}

function isMembers(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
