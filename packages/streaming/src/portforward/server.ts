import { acceptSpdy } from "../spdy/handshake.ts";
import { upgradeKind } from "../upgrade/accept.ts";
import type { UpgradeRequest } from "../upgrade/types.ts";
import { acceptWebSocket, offeredProtocols } from "../websocket/accept.ts";
import { tunnelTransport } from "../websocket/tunnel.ts";
import { acceptLegacy } from "./legacy.ts";
import { portForwardProtocol, tunnelled, tunnelProtocol } from "./protocols.ts";
import { serveStreams } from "./server-spdy.ts";
import type { AcceptPortForwardOptions, PortForwardServerSession } from "./types.ts";

/** Milliseconds, as the real servers have them; the pings are ours. */
const defaults = {
  streamCreationTimeoutMs: 30_000,
  idleTimeoutMs: 4 * 3600 * 1000,
  pingIntervalMs: 30_000,
  reportErrors: false,
};

/**
 * Answers an upgrade and serves its port-forward session: over SPDY, over SPDY in a WebSocket tunnel, or over a legacy WebSocket.
 * Many connections to many ports at once; one that fails ends alone.
 *
 * Throws UpgradeError when there was nothing to agree on: the client has its answer then.
 */
export async function acceptPortForward(
  upgrade: UpgradeRequest,
  options: AcceptPortForwardOptions,
): Promise<PortForwardServerSession> {
  const all = { ...defaults, ports: [], onError: () => {}, ...options };
  if (upgradeKind(upgrade.request) !== "websocket") {
    return serveStreams(acceptSpdy(upgrade, [portForwardProtocol]).transport, all);
  }
  if (tunnelled(offeredProtocols(upgrade)).length === 0) return acceptLegacy(upgrade, all);
  // Pings go inside the tunnel, as SPDY's.
  const connection = await acceptWebSocket(upgrade, [tunnelProtocol(portForwardProtocol)], { pingMs: 0 });
  return serveStreams(tunnelTransport(connection), all);
}
