import { upgradeKind } from "../upgrade/accept.ts";
import type { UpgradeRequest } from "../upgrade/types.ts";
import { spdyServerProtocols, webSocketServerProtocols } from "./protocols.ts";
import { acceptOverSpdy } from "./server-spdy.ts";
import { acceptOverWebSocket } from "./server-websocket.ts";
import type { AcceptOptions, ServerSession } from "./types.ts";

/**
 * Answers an upgrade and gives the session of its command. Which streams there are is the caller's word, not the client's.
 *
 * Throws UpgradeError when there was nothing to agree on: the client has its answer then. Throws StreamError when the client
 * went away, or did not open its streams in time.
 */
export function acceptRemoteCommand(upgrade: UpgradeRequest, options: AcceptOptions): Promise<ServerSession> {
  if (upgradeKind(upgrade.request) === "websocket") {
    return acceptOverWebSocket(upgrade, { ...defaults, protocols: webSocketServerProtocols, ...options });
  }
  return acceptOverSpdy(upgrade, { ...defaults, protocols: spdyServerProtocols, ...options });
}

/** Milliseconds, as the real servers have them; the pings are ours. */
const defaults = {
  streamCreationTimeoutMs: 30_000,
  idleTimeoutMs: 4 * 3600 * 1000,
  pingIntervalMs: 30_000,
};
