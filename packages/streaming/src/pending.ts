// What is not built yet refuses by name; the signatures stand.
import type {
  AcceptPortForwardOptions,
  OpenPortForwardOptions,
  PortForwardServerSession,
  PortForwardSession,
} from "./portforward/types.ts";
import type { ProxyOptions } from "./proxy/types.ts";
import type { DialTarget, UpgradeRequest } from "./upgrade/types.ts";

const pending = (name: string): never => {
  throw new Error(`${name} is not built yet`);
};

export const acceptPortForward = (
  _upgrade: UpgradeRequest,
  _options: AcceptPortForwardOptions,
): Promise<PortForwardServerSession> => pending("acceptPortForward");
export const openPortForward = (_target: DialTarget, _options?: OpenPortForwardOptions): Promise<PortForwardSession> =>
  pending("openPortForward");
export const proxyUpgrade = (_upgrade: UpgradeRequest, _options: ProxyOptions): Promise<void> =>
  pending("proxyUpgrade");
