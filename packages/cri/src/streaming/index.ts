export { createStreamingServer } from "./server.ts";
export type * from "./types.ts";
