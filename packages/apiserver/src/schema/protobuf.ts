import { type Field, type MessageType, messageType, messageTypes, type Scalar, typeNameOf } from "./schema.ts";

/** What every protobuf body of Kubernetes begins with: `k8s` and a zero. Source: kubernetes/apimachinery pkg/runtime/serializer/protobuf */
const magic = Buffer.from([0x6b, 0x38, 0x73, 0x00]);

/** A body that is no protobuf of a known type. */
export class ProtobufError extends Error {
  override readonly name = "ProtobufError";
}

/**
 * Reads a body of `application/vnd.kubernetes.protobuf` and gives the object as JSON would have it.
 * Throws ProtobufError.
 */
export function decodeProtobuf(body: Uint8Array): Record<string, unknown> {
  if (body.byteLength < 4 || magic.compare(body, 0, 4) !== 0) {
    throw new ProtobufError("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]");
  }
  const { apiVersion, kind, raw } = envelope(new Reader(body.subarray(4)));
  const group = apiVersion.includes("/") ? apiVersion.slice(0, apiVersion.indexOf("/")) : "";
  // DeleteOptions and their like come in every group.
  const name = [typeNameOf({ group, kind }), `meta.${kind}`].find((one) => messageTypes().has(one));
  if (!name)
    throw new ProtobufError(`no kind ${JSON.stringify(kind)} is registered for version ${JSON.stringify(apiVersion)}`);
  return { apiVersion, kind, ...message(messageType(name), new Reader(raw)) };
}

/** runtime.Unknown: the type's name, then the message. */
function envelope(reader: Reader): { apiVersion: string; kind: string; raw: Uint8Array } {
  const found = { apiVersion: "", kind: "", raw: new Uint8Array() };
  for (const { number, bytes } of reader.fields()) {
    if (number === 2) found.raw = Uint8Array.from(bytes);
    if (number !== 1) continue;
    for (const part of new Reader(bytes).fields()) {
      if (part.number === 1) found.apiVersion = text(part.bytes);
      if (part.number === 2) found.kind = text(part.bytes);
    }
  }
  return found;
}

function message(type: MessageType, reader: Reader): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const part of reader.fields()) {
    const field = type.byNumber.get(part.number);
    if (!field) continue; // newer than we are
    const { name, shape } = field;
    const held = result[name];
    if (field.inline) Object.assign(result, message(messageType(field.type), new Reader(part.bytes)));
    else if (shape === "map") result[name] = Object.assign(held ?? {}, entry(field, part.bytes));
    else if (shape === "list") result[name] = [...(Array.isArray(held) ? held : []), value(field, part)];
    else result[name] = value(field, part);
  }
  return withoutEmpty(type, result);
}

/** Go writes empty strings where JSON would leave them out. Zeros and `false` may be meant, so they stay. */
function withoutEmpty(type: MessageType, object: Record<string, unknown>): Record<string, unknown> {
  for (const [name, member] of Object.entries(object)) {
    if (member === null || (member === "" && !type.fields.get(name)?.required)) delete object[name];
  }
  return object;
}

interface Part {
  number: number;
  varint: bigint;
  bytes: Uint8Array;
}

function entry(field: Field, bytes: Uint8Array): Record<string, unknown> {
  let key = "";
  let held: unknown = field.scalar ? value(field, { number: 2, varint: 0n, bytes: new Uint8Array() }) : {};
  for (const part of new Reader(bytes).fields()) {
    if (part.number === 1) key = text(part.bytes);
    if (part.number === 2) held = value(field, part);
  }
  return { [key]: held };
}

function value(field: Field, { varint, bytes }: Part): unknown {
  if (!field.scalar) return message(messageType(field.type), new Reader(bytes));
  switch (field.type as Scalar) {
    case "string":
      return text(bytes);
    case "bool":
      return varint !== 0n;
    case "int32":
    case "int64":
      return Number(BigInt.asIntN(64, varint));
    case "double":
      return Buffer.from(bytes).readDoubleLE();
    case "bytes":
      return Buffer.from(bytes).toString("base64");
    case "Time":
    case "MicroTime":
      return time(bytes, field.type === "MicroTime");
    case "Quantity":
      return textAt(bytes, 1);
    case "IntOrString":
      return intOrString(bytes);
    case "ExtraValue":
      return [...new Reader(bytes).fields()].filter(({ number }) => number === 1).map((part) => text(part.bytes));
    case "FieldsV1":
    case "RawExtension":
      return json(bytes);
  }
}

/** Seconds and nanoseconds; a message with neither is no time at all. */
function time(bytes: Uint8Array, micro: boolean): string | null {
  if (bytes.byteLength === 0) return null;
  let seconds = 0;
  let nanos = 0;
  for (const { number, varint } of new Reader(bytes).fields()) {
    if (number === 1) seconds = Number(BigInt.asIntN(64, varint));
    if (number === 2) nanos = Number(varint);
  }
  const whole = new Date(seconds * 1000).toISOString().slice(0, 19);
  return micro ? `${whole}.${String(Math.floor(nanos / 1000)).padStart(6, "0")}Z` : `${whole}Z`;
}

function intOrString(bytes: Uint8Array): number | string {
  let isText = false;
  let number = 0;
  let string = "";
  for (const part of new Reader(bytes).fields()) {
    if (part.number === 1) isText = part.varint === 1n;
    if (part.number === 2) number = Number(BigInt.asIntN(64, part.varint));
    if (part.number === 3) string = text(part.bytes);
  }
  return isText ? string : number;
}

function json(bytes: Uint8Array): unknown {
  for (const part of new Reader(bytes).fields()) {
    if (part.number === 1) return JSON.parse(text(part.bytes)) as unknown;
  }
  return null;
}

function textAt(bytes: Uint8Array, wanted: number): string {
  for (const { number, bytes: held } of new Reader(bytes).fields()) {
    if (number === wanted) return text(held);
  }
  return "";
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
}

/** Reads the wire format. Source: protobuf.dev, Encoding */
class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  *fields(): Generator<Part> {
    while (this.#at < this.#bytes.byteLength) {
      const tag = Number(this.#varint());
      const number = tag >>> 3;
      const none = { number, varint: 0n, bytes: new Uint8Array() };
      switch (tag & 7) {
        case 0:
          yield { ...none, varint: this.#varint() };
          break;
        case 1:
          yield { ...none, bytes: this.#take(8) };
          break;
        case 2:
          yield { ...none, bytes: this.#take(Number(this.#varint())) };
          break;
        case 5:
          yield { ...none, bytes: this.#take(4) };
          break;
        default:
          throw new ProtobufError(`proto: illegal wireType ${tag & 7}`);
      }
    }
  }

  #varint(): bigint {
    let result = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) throw new ProtobufError("unexpected EOF");
      result |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return result;
    }
    throw new ProtobufError("proto: integer overflow");
  }

  #take(length: number): Uint8Array {
    const end = this.#at + length;
    if (end > this.#bytes.byteLength) throw new ProtobufError("unexpected EOF");
    const bytes = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return bytes;
  }
}
