export { create, type DescMessage, type MessageInitShape, type MessageShape, toJson } from "@bufbuild/protobuf";
export { type ConnectOptions, type CRIConnection, connectCRI, socketPathOf, upload } from "./client.ts";
export type { APIVersion } from "./definition.ts";
export { type EncodedMessage, encodeMessage, joinMessages, listEncoder } from "./encoded.ts";
export * from "./errors.ts";
export * from "./gen/cri_pb.ts";
export { type CallReport, type ServeOptions, serveCRI, type Upload } from "./server.ts";
// The types of this name; the descriptors of the same name stay inside.
export type { CallContext, CallOptions, ImageClient, ImageService, RuntimeClient, RuntimeService } from "./service.ts";
export { claimSocket } from "./socket.ts";
export {
  createStreamingServer,
  type StreamingLoad,
  type StreamingRuntime,
  type StreamingServer,
  type StreamingServerOptions,
  type StreamingURL,
} from "./streaming/index.ts";
