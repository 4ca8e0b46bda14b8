// OpenAPI v2 in the protobuf form older kubectls ask for.
// Source of the field numbers: google/gnostic-models openapiv2/OpenAPIv2.proto
import type { Schema } from "./openapi-model.ts";

type Members = Record<string, unknown>;

/** Encodes the parts of a version 2 document that the server writes. Throws RangeError for a member it does not know. */
export function encodeDocument(document: Members): Buffer {
  const { swagger, info, paths, definitions, ...rest } = document;
  refuse(rest, "document");
  return Buffer.concat([
    text(1, String(swagger)),
    nested(2, infoOf(info as Members)),
    nested(8, named(2, paths as Members, pathItem)),
    nested(9, named(1, definitions as Members, schema)),
  ]);
}

function infoOf({ title, version }: Members): Buffer {
  return Buffer.concat([text(1, String(title)), text(2, String(version))]);
}

const methods: Record<string, number> = { get: 2, put: 3, post: 4, delete: 5, patch: 8 };

function pathItem(item: Members): Buffer {
  return Buffer.concat(
    Object.entries(item).map(([method, body]) => {
      const number = methods[method];
      if (number === undefined) throw new RangeError(`path: ${method}`);
      return nested(number, operation(body as Members));
    }),
  );
}

function operation({ operationId, parameters, responses, ...rest }: Members): Buffer {
  const list = parameters as Members[];
  return Buffer.concat([
    text(5, String(operationId)),
    // ParametersItem.parameter, Parameter.non_body_parameter, NonBodyParameter.query_parameter_sub_schema
    ...list.map((one) => nested(8, nested(1, nested(2, nested(3, queryParameter(one)))))),
    nested(
      9,
      named(1, responses as Members, ({ description }) => nested(1, text(1, String(description)))),
    ),
    ...extensions(13, rest),
  ]);
}

function queryParameter({ name, type, in: place, ...rest }: Members): Buffer {
  const { uniqueItems: _, ...others } = rest;
  refuse(others, "parameter");
  return Buffer.concat([text(2, String(place)), text(4, String(name)), text(6, String(type))]);
}

function schema(value: Members): Buffer {
  const { $ref, format, required, additionalProperties, type, items, properties, ...rest } = value as Schema;
  return Buffer.concat([
    ...($ref ? [text(1, String($ref))] : []),
    ...(format ? [text(2, String(format))] : []),
    ...((required as string[] | undefined) ?? []).map((name) => text(19, name)),
    ...(additionalProperties ? [nested(21, nested(1, schema(additionalProperties as Members)))] : []),
    ...(type ? [nested(22, text(1, String(type)))] : []),
    ...(items ? [nested(23, nested(1, schema(items as Members)))] : []),
    ...(properties ? [nested(25, named(1, properties as Members, schema))] : []),
    ...extensions(31, rest),
  ]);
}

/** Vendor extensions carry YAML, of which JSON is a part. */
function extensions(number: number, members: Members): Buffer[] {
  return Object.entries(members).map(([name, value]) => {
    if (!name.startsWith("x-")) throw new RangeError(`no extension: ${name}`);
    return nested(number, Buffer.concat([text(1, name), nested(2, text(2, JSON.stringify(value)))]));
  });
}

/** A map, as a list of pairs of a name and a value. */
function named(number: number, members: Members, encode: (value: Members) => Buffer): Buffer {
  return Buffer.concat(
    Object.entries(members).map(([name, value]) =>
      nested(number, Buffer.concat([text(1, name), nested(2, encode(value as Members))])),
    ),
  );
}

function text(number: number, value: string): Buffer {
  return nested(number, Buffer.from(value));
}

function nested(number: number, bytes: Buffer): Buffer {
  return Buffer.concat([varint((number << 3) | 2), varint(bytes.byteLength), bytes]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 0x7f) {
    bytes.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  return Buffer.from([...bytes, rest]);
}

function refuse(members: Members, where: string): void {
  for (const name of Object.keys(members)) throw new RangeError(`${where}: ${name}`);
}
