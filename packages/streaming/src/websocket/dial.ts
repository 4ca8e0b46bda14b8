import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { WebSocket } from "ws";
import { UpgradeError } from "../errors.ts";
import { watchPeer } from "../peer-watch.ts";
import { refusalOf, requestOptions, watchDial } from "../upgrade/dial.ts";
import type { DialTarget } from "../upgrade/types.ts";
import { WebSocketConnection, type WebSocketConnectionOptions, webSocketOptions } from "./connection.ts";

/**
 * Dials a WebSocket, offering the protocols most preferred first. Redirects are never followed. `peerTimeoutMs` is watchPeer's.
 *
 * Throws UpgradeError when the server answers with anything but a fitting 101, the signal's reason when aborted,
 * and the socket's error when there is no answer.
 */
export function dialWebSocket(
  target: DialTarget,
  protocols: readonly string[],
  {
    peerTimeoutMs,
    ...options
  }: Omit<WebSocketConnectionOptions, "role" | "protocol"> & { peerTimeoutMs?: number | undefined },
): Promise<WebSocketConnection> {
  target.signal?.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<WebSocketConnection>();
  // Subprotocols are ours: ws takes tokens only, and `SPDY/3.1+portforward.k8s.io` is none.
  const headers = { ...target.headers, "Sec-WebSocket-Protocol": protocols.join(", ") };
  const ws = new WebSocket(target.url, { ...requestOptions({ ...target, headers }), ...webSocketOptions });
  const release = watchDial(target, (reason) => {
    reject(reason);
    ws.terminate();
  });
  const refuse = (message: string, cause?: unknown) => {
    release();
    reject(new UpgradeError(message, { statusCode: 101, headers: answer?.headers ?? {}, body: "" }, { cause }));
  };
  let answer: { headers: IncomingMessage["headers"]; socket: Duplex; protocol: string } | undefined;
  ws.on("upgrade", ({ headers, socket }) => {
    const { "sec-websocket-protocol": protocol = "" } = headers;
    answer = { headers: { ...headers }, socket, protocol };
    delete headers["sec-websocket-protocol"];
    if (protocols.includes(protocol)) return;
    // For kubectl a subprotocol it did not offer, or none, is a failed upgrade too: it then tries SPDY.
    refuse(`the server chose subprotocol ${JSON.stringify(protocol)}, which was not offered`);
    ws.terminate();
  });
  ws.on("unexpected-response", (request, response) => {
    request.shouldKeepAlive = false; // nobody may use what a refused upgrade leaves behind
    void refusalOf(response).then((error) => {
      release();
      reject(error);
      request.destroy();
    });
  });
  ws.on("open", () => {
    release();
    if (!answer) return;
    const { socket, protocol } = answer;
    const connection = new WebSocketConnection(ws, socket, { role: "client", protocol, ...options });
    const watch = watchPeer(socket, peerTimeoutMs);
    void connection.closed.then(() => watch[Symbol.dispose]());
    resolve(connection);
  });
  ws.on("error", (cause) => {
    if (answer) return refuse(cause.message, cause);
    release();
    reject(cause);
  });
  return promise;
}
