import type { StreamingServer, StreamingServerOptions } from "./types.ts";

/** Makes the streaming server of a runtime. It listens after start(). */
export function createStreamingServer(_options: StreamingServerOptions): StreamingServer {
  throw new Error("createStreamingServer is not built yet");
}
