export * from "./bytes.ts";
export * from "./errors.ts";
export {
  acceptPortForward,
  acceptRemoteCommand,
  dialUpgrade,
  openPortForward,
  openRemoteCommand,
  proxyUpgrade,
  refuseUpgrade,
  sinkOf,
  sourceOf,
  upgradeKind,
} from "./pending.ts";
export type * from "./portforward/types.ts";
export type * from "./proxy/types.ts";
export type * from "./remotecommand/types.ts";
export type * from "./upgrade/types.ts";
