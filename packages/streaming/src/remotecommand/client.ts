import { UpgradeError } from "../errors.ts";
import { livenessOf } from "../silence.ts";
import type { DialTarget } from "../upgrade/types.ts";
import { openOverWebSocket } from "./client-websocket.ts";
import type { ClientSession, OpenOptions } from "./types.ts";

/**
 * Opens a remote command. The transports are tried in order; the next one only when the upgrade was refused, which is
 * kubectl's rule: a server that cannot be reached is not asked twice. The last refusal is the one thrown.
 *
 * Throws UpgradeError, the signal's reason, the socket's error, or RangeError for a time below 0.
 *
 * Source: kubernetes/client-go tools/remotecommand/fallback.go
 */
export async function openRemoteCommand(target: DialTarget, options: OpenOptions): Promise<ClientSession> {
  livenessOf(options, 0); // before anything is dialled
  const transports = options.transports ?? ["websocket", "spdy"];
  for (const [index, transport] of transports.entries()) {
    try {
      if (transport === "websocket") return await openOverWebSocket(target, options);
      // Loaded here: few servers need it any more, and its compression takes a short command's while to load.
      const { openOverSpdy } = await import("./client-spdy.ts");
      return await openOverSpdy(target, options);
    } catch (error) {
      if (!(error instanceof UpgradeError) || index === transports.length - 1) throw error;
    }
  }
  throw new TypeError("no transport to open a remote command with");
}
