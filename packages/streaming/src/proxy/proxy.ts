// Step 4 of 8. Before: apiserver/src/registry/core/pod/exec.ts. After: kubelet/src/server/exec.ts (TLS).

import type { IncomingHttpHeaders } from "node:http";
import { watchPeer } from "../peer-watch.ts";
import { tunnelled, tunnelProtocol } from "../portforward/protocols.ts";
import { Protocol } from "../remotecommand/protocols.ts";
import { livenessOf } from "../silence.ts";
import { socketTransport } from "../transport.ts";
import { plainRefusal, refused, upgradeKind } from "../upgrade/accept.ts";
import type { UpgradeRequest } from "../upgrade/types.ts";
import { acceptWebSocket, offeredProtocols } from "../websocket/accept.ts";
import { tunnelTransport } from "../websocket/tunnel.ts";
import { askBackend, forwardedHeaders, headOf } from "./backend.ts";
import type { Follower } from "./flow/flow.ts";
import { followSpdy } from "./flow/spdy-follower.ts";
import { followWebSocket } from "./flow/websocket-follower.ts";
import { nextHopTimeoutMs } from "./next-hop-watch.ts";
import { type SpliceOptions, splice } from "./splice.ts";
import { translate } from "./translate.ts";
import type { BackendInfo, ProxyOptions } from "./types.ts";

/**
 * What an intermediate hop does with an upgrade: frames are spliced whenever the next hop knows what the client speaks;
 * where it knows SPDY alone, a v5 WebSocket is translated and a tunnelled port-forward is taken out of its tunnel.
 *
 * Resolves when the session is over, however it ended: the client has been told. Rejects only when the client's own request
 * was refused here (UpgradeError), or it went away before there was a session.
 */
export async function proxyUpgrade(upgrade: UpgradeRequest, options: ProxyOptions): Promise<void> {
  upgrade.socket.on("error", () => {}); // a client that breaks off while the backend is asked
  const way = wayOf(upgrade, options);
  options.log.at(4, "proxying an upgrade", { way, backend: options.target.url.origin });
  if (way === "translate") {
    using _client = watchPeer(upgrade.socket, options.peerTimeoutMs);
    return await translate(upgrade, options);
  }
  if (way === "tunnel") return leaveTunnel(upgrade, options);
  return spliceThrough(upgrade, options);
}

/** Which of the ways an upgrade takes. */
export function wayOf(
  upgrade: UpgradeRequest,
  { kind, nextHop }: Pick<ProxyOptions, "kind" | "nextHop">,
): BackendInfo["way"] {
  if (upgradeKind(upgrade.request) !== "websocket" || nextHop === "websocket") return "splice";
  const offered = offeredProtocols(upgrade);
  if (kind === "portforward") return tunnelled(offered).length > 0 ? "tunnel" : "splice";
  return offered.includes(Protocol.v5) ? "translate" : "splice";
}

async function spliceThrough(upgrade: UpgradeRequest, options: ProxyOptions): Promise<void> {
  const { request, socket, head } = upgrade;
  if (!upgradeKind(request) || (request.method !== "GET" && request.method !== "POST")) {
    throw refused(upgrade, plainRefusal(400, "unable to upgrade: missing upgrade headers in request"));
  }
  const answer = await askBackend(upgrade, options, {
    method: request.method,
    headers: forwardedHeaders(upgrade, options.target),
    way: "splice",
  });
  if (!answer) return;
  const client = socketTransport(socket, head);
  client.write([Buffer.from(`${headOf(answer.response)}\r\n`, "latin1")]);
  const backend = socketTransport(answer.socket, answer.head);
  using _client = watchPeer(socket, options.peerTimeoutMs);
  using _backend = watchPeer(answer.socket, options.peerTimeoutMs);
  await splice(client, backend, spliceOptions(options, followerOf(upgrade, answer.response.headers, options)));
}

/** By what the next hop has agreed to. */
function followerOf({ request }: UpgradeRequest, answered: IncomingHttpHeaders, { kind }: ProxyOptions): Follower {
  const isCommand = kind === "remotecommand";
  const { "x-stream-protocol-version": overSpdy, "sec-websocket-protocol": overWebSocket = "" } = answered;
  if (upgradeKind(request) === "websocket") return followWebSocket(isCommand ? overWebSocket : undefined);
  return followSpdy(isCommand ? String(overSpdy ?? Protocol.v1) : undefined);
}

/** Who ended a session stands in the log: where a chain breaks, its client sees only its own connection end. */
function spliceOptions(options: ProxyOptions, follower: Follower): SpliceOptions {
  const { target, backendName, idleTimeoutMs = 0, log } = options;
  const backend = target.url.origin;
  const { lostMs } = livenessOf({ peerTimeoutMs: nextHopTimeoutMs(options) }, 30_000);
  let first = true;
  return {
    follower,
    backendName,
    lostMs,
    idleTimeoutMs,
    onIdle: () => log.warn("session dropped: not a byte either way", { backend, seconds: idleTimeoutMs / 1000 }),
    onEnd(side, error) {
      if (first && error) log.warn("session broke off", { by: side, backend, error });
      else if (first) log.at(4, "session ended", { by: side, backend });
      first = false;
    },
  };
}

/** SPDY inside WebSocket messages here, plain SPDY to the next hop. */
async function leaveTunnel(upgrade: UpgradeRequest, options: ProxyOptions): Promise<void> {
  const headers = forwardedHeaders(upgrade, options.target);
  for (const name of Object.keys(headers)) if (name.startsWith("sec-websocket-")) delete headers[name];
  const answer = await askBackend(upgrade, options, {
    method: "POST",
    headers: {
      ...headers,
      connection: "Upgrade",
      upgrade: "SPDY/3.1",
      "x-stream-protocol-version": tunnelled(offeredProtocols(upgrade)),
    },
    way: "tunnel",
  });
  if (!answer) return;
  const chosen = answer.response.headers["x-stream-protocol-version"];
  const backend = socketTransport(answer.socket, answer.head);
  try {
    const connection = await acceptWebSocket(upgrade, [tunnelProtocol(String(chosen))], { pingMs: 0 });
    using _client = watchPeer(upgrade.socket, options.peerTimeoutMs);
    using _backend = watchPeer(answer.socket, options.peerTimeoutMs);
    await splice(tunnelTransport(connection), backend, spliceOptions(options, followSpdy()));
  } finally {
    backend.destroy();
  }
}
