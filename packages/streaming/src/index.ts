export { ByteQueue } from "./byte-queue.ts";
export * from "./bytes.ts";
export * from "./errors.ts";
export { duplexOf, sinkOf, sourceOf } from "./node.ts";
export {
  acceptPortForward,
  openPortForward,
  proxyUpgrade,
} from "./pending.ts";
export type * from "./portforward/types.ts";
export type * from "./proxy/types.ts";
export { openRemoteCommand } from "./remotecommand/client.ts";
export { acceptRemoteCommand } from "./remotecommand/server.ts";
export type * from "./remotecommand/types.ts";
export { plainRefusal, refuseUpgrade, upgradeKind } from "./upgrade/accept.ts";
export { dialUpgrade } from "./upgrade/dial.ts";
export type * from "./upgrade/types.ts";
