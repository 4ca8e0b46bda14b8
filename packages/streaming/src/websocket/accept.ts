import { type WebSocket, WebSocketServer } from "ws";
import { UpgradeError } from "../errors.ts";
import { plainRefusal, refused } from "../upgrade/accept.ts";
import type { Refusal, UpgradeRequest } from "../upgrade/types.ts";
import { WebSocketConnection, type WebSocketConnectionOptions, webSocketOptions } from "./connection.ts";

/** A bearer token that a browser sends as a subprotocol. It is for the authenticator alone. */
const bearerPrefix = "base64url.bearer.authorization.k8s.io.";

/** The subprotocols a client offers, in its order, without a bearer token. */
export function offeredProtocols(upgrade: UpgradeRequest): string[] {
  const header = upgrade.request.headers["sec-websocket-protocol"] ?? "";
  const offered = header.split(",").map((protocol) => protocol.trim());
  return offered.filter((protocol) => protocol !== "" && !protocol.startsWith(bearerPrefix));
}

/** The first of the client's protocols that is ours; "" when it offers none and we take that; undefined when there is none. */
export function agree(offered: readonly string[], protocols: readonly string[]): string | undefined {
  if (offered.length === 0) return protocols.includes("") ? "" : undefined;
  return offered.find((protocol) => protocols.includes(protocol));
}

/** Tells which version we speak. */
const otherVersion: Refusal = {
  ...plainRefusal(426, "unable to upgrade: only version 13 of WebSocket is spoken here"),
  headers: { "Sec-WebSocket-Version": "13", Upgrade: "websocket" },
};

/** The protocol agreed on for a request; "" for none. */
const agreements = new WeakMap<object, string>();

// Subprotocols are ours: ws takes tokens only, and `SPDY/3.1+portforward.k8s.io` is none.
const server = new WebSocketServer({ noServer: true, clientTracking: false, ...webSocketOptions });
server.on("headers", (headers, request) => {
  const protocol = agreements.get(request);
  if (protocol) headers.push(`Sec-WebSocket-Protocol: ${protocol}`);
});

/**
 * Answers a WebSocket upgrade with the first of the client's protocols that is ours; "" among ours takes a client that offers none.
 * Throws UpgradeError after it has refused: 426 for another version of WebSocket than 13, 403 without a body when no
 * protocol fits, as the real servers do.
 *
 * Source: golang.org/x/net/websocket hybi.go as kubernetes/streaming pkg/httpstream/wsstream uses it; RFC 6455, section 4.4,
 * for the 426
 */
export async function acceptWebSocket(
  upgrade: UpgradeRequest,
  protocols: readonly string[],
  options: Omit<WebSocketConnectionOptions, "role" | "protocol">,
): Promise<WebSocketConnection> {
  const { "sec-websocket-version": version = "" } = upgrade.request.headers;
  if (upgrade.request.method === "GET" && version !== "13") throw refused(upgrade, otherVersion);
  const agreed = agree(offeredProtocols(upgrade), protocols);
  if (agreed === undefined) throw refused(upgrade, { statusCode: 403, contentType: "", body: "" });
  const { request, socket, head } = upgrade;
  const { promise, resolve, reject } = Promise.withResolvers<WebSocketConnection>();
  // ws answers a request that is no handshake by itself (400, 405), and then never calls back.
  const onClose = () => {
    const answer = { statusCode: 400, headers: {}, body: "" };
    reject(new UpgradeError("the WebSocket handshake failed", answer));
  };
  socket.once("close", onClose);
  const { "sec-websocket-protocol": _ours, ...headers } = request.headers;
  const bare: typeof request = Object.create(request, { headers: { value: headers } });
  agreements.set(bare, agreed);
  server.handleUpgrade(bare, socket, head, (ws: WebSocket) => {
    socket.off("close", onClose);
    resolve(new WebSocketConnection(ws, socket, { role: "server", protocol: agreed, ...options }));
  });
  return promise;
}
