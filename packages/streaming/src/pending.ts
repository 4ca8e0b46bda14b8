// The signatures, so that others can code against them. Each moves to its own file as it is built; until then it refuses.

import type { IncomingMessage } from "node:http";
import type { Readable, Writable } from "node:stream";
import type { ByteSink, ByteSource } from "./bytes.ts";
import type {
  AcceptPortForwardOptions,
  OpenPortForwardOptions,
  PortForwardServerSession,
  PortForwardSession,
} from "./portforward/types.ts";
import type { ProxyOptions } from "./proxy/types.ts";
import type { AcceptOptions, ClientSession, OpenOptions, ServerSession } from "./remotecommand/types.ts";
import type { DialTarget, Refusal, UpgradedConnection, UpgradeKind, UpgradeRequest } from "./upgrade/types.ts";

const pending = (name: string): never => {
  throw new Error(`${name} is not built yet`);
};

export const dialUpgrade = (_target: DialTarget & { method: "GET" | "POST" }): Promise<UpgradedConnection> =>
  pending("dialUpgrade");
export const refuseUpgrade = (_upgrade: UpgradeRequest, _refusal: Refusal): void => pending("refuseUpgrade");
export const upgradeKind = (_request: IncomingMessage): UpgradeKind | undefined => pending("upgradeKind");
export const acceptRemoteCommand = (_upgrade: UpgradeRequest, _options: AcceptOptions): Promise<ServerSession> =>
  pending("acceptRemoteCommand");
export const openRemoteCommand = (_target: DialTarget, _options: OpenOptions): Promise<ClientSession> =>
  pending("openRemoteCommand");
export const acceptPortForward = (
  _upgrade: UpgradeRequest,
  _options: AcceptPortForwardOptions,
): Promise<PortForwardServerSession> => pending("acceptPortForward");
export const openPortForward = (_target: DialTarget, _options?: OpenPortForwardOptions): Promise<PortForwardSession> =>
  pending("openPortForward");
export const proxyUpgrade = (_upgrade: UpgradeRequest, _options: ProxyOptions): Promise<void> =>
  pending("proxyUpgrade");
export const sinkOf = (_writable: Writable): ByteSink => pending("sinkOf");
export const sourceOf = (_readable: Readable): ByteSource => pending("sourceOf");
