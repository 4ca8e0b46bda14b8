import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { GenService } from "@bufbuild/protobuf/codegenv2";
import type { EncodedMessage } from "./encoded.ts";
import type { ImageService as ImageDescriptor, RuntimeService as RuntimeDescriptor } from "./gen/cri_pb.ts";

/** What a method's implementation is told about its call. */
export interface CallContext {
  /** Aborted when the caller has gone, has cancelled, or its deadline has passed. */
  signal: AbortSignal;
}

/** What a caller may say about one call. */
export interface CallOptions {
  signal?: AbortSignal | undefined;
  /** Milliseconds; 0 for none. Otherwise the method's own default. */
  timeoutMs?: number | undefined;
}

type Methods<Service> = Service extends GenService<infer M> ? M : never;

type Handler<Method, Encoded extends boolean> = Method extends {
  methodKind: infer Kind;
  input: infer Input extends DescMessage;
  output: infer Output extends DescMessage;
}
  ? Kind extends "server_streaming"
    ? (request: MessageShape<Input>, context: CallContext) => AsyncIterable<MessageInitShape<Output>>
    : (
        request: MessageShape<Input>,
        context: CallContext,
      ) => Promise<MessageInitShape<Output> | (Encoded extends true ? EncodedMessage<Output> : never)>
  : never;

type Caller<Method> = Method extends {
  methodKind: infer Kind;
  input: infer Input extends DescMessage;
  output: infer Output extends DescMessage;
}
  ? Kind extends "server_streaming"
    ? (request: MessageInitShape<Input>, options?: CallOptions) => AsyncIterable<MessageShape<Output>>
    : (request: MessageInitShape<Input>, options?: CallOptions) => Promise<MessageShape<Output>>
  : never;

/** Of the methods in `Encoded`, the answer may be in bytes. */
type Handlers<Service, Encoded = never> = {
  [Name in keyof Methods<Service>]: Handler<Methods<Service>[Name], Name extends Encoded ? true : false>;
};
type Callers<Service> = { [Name in keyof Methods<Service>]: Caller<Methods<Service>[Name]> };

/** RuntimeService as a runtime implements it: whole requests come in, plain objects may go out, and lists in bytes. Throw CRIError. */
export type RuntimeService = Handlers<
  typeof RuntimeDescriptor,
  "listContainers" | "listPodSandbox" | "listPodSandboxMetrics"
>;
/** ImageService as a runtime implements it. */
export type ImageService = Handlers<typeof ImageDescriptor>;

/** RuntimeService as its users see it: plain objects go in, whole messages come out. It is a RuntimeService too. */
export type RuntimeClient = Callers<typeof RuntimeDescriptor>;
/** ImageService as its users see it. */
export type ImageClient = Callers<typeof ImageDescriptor>;
