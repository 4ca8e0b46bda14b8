import type { Transport } from "../transport.ts";
import type { WebSocketConnection } from "./connection.ts";

/** A message of a tunnel, at most: real servers read into 32 KiB. */
const maxMessage = 32 * 1024;

/** The bytes inside a tunnel's messages as a transport: where one message ends and the next begins means nothing. */
export function tunnelTransport(connection: WebSocketConnection): Transport {
  return {
    start: (handler) =>
      connection.start({ message: (data) => void handler.data(data), end: (error) => handler.end(error) }),
    pause: () => connection.pause(),
    resume: () => connection.resume(),
    write(parts) {
      const bytes = parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts);
      for (let offset = 0; offset < bytes.byteLength; offset += maxMessage) {
        connection.send(bytes.subarray(offset, offset + maxMessage));
      }
    },
    room: () => connection.room(),
    end(withinMs) {
      connection.close(1000);
      if (withinMs === undefined) return;
      const timer = setTimeout(() => connection.destroy(), withinMs);
      void connection.closed.then(() => clearTimeout(timer));
    },
    destroy: () => connection.destroy(),
    closed: connection.closed,
    get backlog() {
      return connection.backlog;
    },
    get held() {
      return connection.held;
    },
  };
}
