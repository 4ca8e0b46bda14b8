import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { WebSocket } from "ws";
import { UpgradeError } from "../errors.ts";
import { refusalOf, requestOptions, watchDial } from "../upgrade/dial.ts";
import type { DialTarget } from "../upgrade/types.ts";
import { WebSocketConnection, type WebSocketConnectionOptions, webSocketOptions } from "./connection.ts";

/**
 * Dials a WebSocket, offering the protocols most preferred first. Redirects are never followed.
 *
 * Throws UpgradeError when the server answers with anything but a fitting 101, the signal's reason when aborted,
 * and the socket's error when there is no answer.
 */
export function dialWebSocket(
  target: DialTarget,
  protocols: readonly string[],
  options: Omit<WebSocketConnectionOptions, "role">,
): Promise<WebSocketConnection> {
  target.signal?.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<WebSocketConnection>();
  const ws = new WebSocket(target.url, [...protocols], { ...requestOptions(target), ...webSocketOptions });
  const release = watchDial(target, (reason) => {
    reject(reason);
    ws.terminate();
  });
  let answer: { headers: IncomingMessage["headers"]; socket: Duplex } | undefined;
  ws.on("upgrade", (response) => {
    answer = { headers: response.headers, socket: response.socket };
  });
  ws.on("unexpected-response", (request, response) => {
    void refusalOf(response).then((error) => {
      release();
      reject(error);
      request.destroy();
    });
  });
  ws.on("open", () => {
    release();
    if (answer) resolve(new WebSocketConnection(ws, answer.socket, { role: "client", ...options }));
  });
  ws.on("error", (cause) => {
    release();
    // A 101 that ws does not accept, a subprotocol we did not offer above all: for kubectl that is a failed upgrade.
    reject(
      answer
        ? new UpgradeError(cause.message, { statusCode: 101, headers: answer.headers, body: "" }, { cause })
        : cause,
    );
  });
  return promise;
}
