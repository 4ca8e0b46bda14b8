import { ByteQueue, pausing } from "../byte-queue.ts";
import { plainRefusal, refused } from "../upgrade/accept.ts";
import type { UpgradeRequest } from "../upgrade/types.ts";
import { acceptWebSocket } from "../websocket/accept.ts";
import { channelSink } from "../websocket/channel-sink.ts";
import { decodeMessage } from "../websocket/channels.ts";
import type { WebSocketConnection } from "../websocket/connection.ts";
import { failureText, forward } from "./forward.ts";
import { legacyProtocols } from "./protocols.ts";
import type { AcceptPortForwardOptions, PortForwardServerSession } from "./types.ts";

/** Ports one WebSocket may name: two channels each, a byte names the channel. */
const maxPorts = 100;
/** Bytes that may wait for one port; then the socket is not read. */
const queueBytes = 256 * 1024;

/**
 * Port forwarding before SPDY's tunnel: one connection per port, channel 2i for its data, 2i + 1 for its error; each begins
 * with the port, two bytes, little-endian. There is no half-close.
 *
 * Source: kubernetes/cri-streaming pkg/streaming/portforward/websocket.go
 */
export async function acceptLegacy(
  upgrade: UpgradeRequest,
  options: Required<AcceptPortForwardOptions>,
): Promise<PortForwardServerSession> {
  const { ports, pingIntervalMs, idleTimeoutMs } = options;
  if (ports.length === 0) throw refused(upgrade, plainRefusal(400, 'query parameter "port" is required'));
  if (ports.length > maxPorts)
    throw refused(upgrade, plainRefusal(400, `at most ${maxPorts} ports can be forwarded at once`));
  const connection = await acceptWebSocket(upgrade, [...legacyProtocols, ""], {
    pingMs: pingIntervalMs,
    idleMs: idleTimeoutMs,
    onIdle: () => connection.close(1000),
  });
  const base64 = connection.protocol.includes("base64");
  const gone = new AbortController();
  const queues = inputs(connection, ports.length);
  connection.start({
    message(data) {
      const message = decodeMessage(data, { base64, closeSignal: false });
      if (message?.type === "data" && message.channel % 2 === 0) queues[message.channel / 2]?.push(message.bytes);
    },
    end(error) {
      for (const queue of queues) error ? queue.fail(error) : queue.end();
      gone.abort(error ?? new Error("the client closed the connection"));
    },
  });
  const serveAll = ports.map(async (port, index) => {
    const [data, error] = [
      channelSink({ connection, base64 }, 2 * index),
      channelSink({ connection, base64 }, 2 * index + 1),
    ];
    const prefix = Buffer.alloc(2);
    prefix.writeUInt16LE(port);
    data.send(prefix);
    error.send(prefix);
    try {
      const target = await options.connect(port, gone.signal);
      const source = queues[index] ?? new ByteQueue({ limit: 0 });
      // The client cannot half-close, and must see the end of the port's data: the port's end is the end of both.
      await forward(
        { source, sink: { ...data, close: async () => source.end(), abort: async () => source.end() } },
        target,
      );
    } catch (cause) {
      if (gone.signal.aborted) return;
      options.onError(port, cause);
      await error.write(Buffer.from(failureText(port, cause))).catch(() => {});
    }
  });
  void Promise.all(serveAll).then(() => connection.close(1000));
  return {
    closed: connection.closed,
    signal: gone.signal,
    async [Symbol.asyncDispose]() {
      connection.close(1000);
      await connection.closed;
    },
  };
}

function inputs(connection: WebSocketConnection, count: number): ByteQueue[] {
  const whileFull = pausing(connection);
  return Array.from({ length: count }, () => new ByteQueue({ limit: queueBytes, ...whileFull }));
}
