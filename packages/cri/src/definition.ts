import { create, type DescMessage, type DescMethod, type DescService, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { MethodDefinition } from "@grpc/grpc-js";
import { EncodedMessage } from "./encoded.ts";

/** A message, before or after `create`. The descriptor beside it says which. */
export type AnyMessage = Parameters<typeof toBinary>[1];

/** The two packages the CRI has had. v1alpha2 ended with the same messages as v1, so one set of handlers serves both. */
export const apiVersions = ["v1", "v1alpha2"] as const;
export type APIVersion = (typeof apiVersions)[number];

/** `runtime.v1.RuntimeService` for v1, and so on. */
export function serviceName(service: DescService, version: APIVersion): string {
  return `runtime.${version}.${service.name}`;
}

/** How grpc-js is told of a method: its path, and bytes to messages and back. */
export function methodDefinition(method: DescMethod, version: APIVersion): MethodDefinition<AnyMessage, AnyMessage> {
  return {
    path: `/${serviceName(method.parent, version)}/${method.name}`,
    requestStream: false,
    responseStream: method.methodKind === "server_streaming",
    requestSerialize: (message) => encode(method.input, message),
    requestDeserialize: (bytes) => fromBinary(method.input, bytes),
    responseSerialize: (answer) => encode(method.output, answer),
    responseDeserialize: (bytes) => fromBinary(method.output, bytes),
  };
}

/** `create` returns a message as it is, and makes one of a plain object. Throws when bytes are of another message. */
function encode(schema: DescMessage, message: AnyMessage | EncodedMessage<DescMessage>): Buffer {
  if (message instanceof EncodedMessage) {
    const { typeName } = message.schema;
    if (typeName !== schema.typeName)
      throw new TypeError(`bytes of ${typeName} where ${schema.typeName} is to be sent`);
    return message.bytes;
  }
  const bytes = toBinary(schema, create(schema, message));
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
