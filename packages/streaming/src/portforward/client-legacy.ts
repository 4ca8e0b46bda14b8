import { ByteQueue } from "../byte-queue.ts";
import type { ByteSink } from "../bytes.ts";
import { ProtocolError, StreamError } from "../errors.ts";
import { livenessOf } from "../silence.ts";
import type { DialTarget } from "../upgrade/types.ts";
import { channelSink, type Wire } from "../websocket/channel-sink.ts";
import { decodeMessage } from "../websocket/channels.ts";
import type { WebSocketConnection } from "../websocket/connection.ts";
import { dialWebSocket } from "../websocket/dial.ts";
import { ErrorText } from "./error-text.ts";
import { legacyProtocols } from "./protocols.ts";
import type { ForwardedConnection, OpenPortForwardOptions, PortForwardSession } from "./types.ts";

/** Channel of the data of the one port that a WebSocket names; its error's is the next. */
const dataChannel = 0;
/** Bytes that may wait for their reader; then the socket is not read. */
const queueBytes = 256 * 1024;
/** Bytes of one message, as real servers read them: what is longer is cut. */
const maxMessage = 32 * 1024;

/**
 * Port forwarding before the tunnel: each connection is a WebSocket of its own, dialled when it is made. There is no half-close:
 * closing the sink says nothing, and the connection ends when the port's side does.
 *
 * Source: kubernetes/cri-streaming pkg/streaming/portforward/websocket.go
 */
export function openLegacy(
  { agent: _onlyForOne, ...target }: DialTarget,
  options: OpenPortForwardOptions,
): PortForwardSession {
  const connections = new Set<WebSocketConnection>();
  const closed = Promise.withResolvers<void>();
  return {
    transport: "legacy",
    closed: closed.promise,
    async connect(port) {
      const connection = await dial(target, port, options);
      connections.add(connection);
      void connection.closed.then(() => connections.delete(connection));
      return openConnection(connection, port);
    },
    async [Symbol.asyncDispose]() {
      for (const connection of connections) connection.close(1000);
      closed.resolve();
    },
  };
}

function dial(target: Omit<DialTarget, "agent">, port: number, options: OpenPortForwardOptions) {
  const url = new URL(target.url);
  url.searchParams.set(options.portParameter ?? "ports", String(port));
  const { protocols = legacyProtocols, peerTimeoutMs } = options;
  return dialWebSocket({ ...target, url }, protocols, { ...livenessOf(options, 10_000), peerTimeoutMs });
}

function openConnection(connection: WebSocketConnection, port: number): ForwardedConnection {
  const base64 = connection.protocol.includes("base64");
  const source = new ByteQueue({
    limit: queueBytes,
    onFull: () => connection.pause(),
    onDrained: () => connection.resume(),
  });
  const error = new ErrorText();
  const take = [prefixed(port, source), prefixed(port, error)];
  connection.start({
    message(data) {
      const message = decodeMessage(data, { base64, closeSignal: false });
      if (message?.type === "data") take[message.channel]?.(message.bytes);
    },
    end(cause) {
      error.end();
      if (cause) return source.fail(cause);
      // What broke off comes with the same close as what ended: only the error channel tells.
      if (error.text) source.fail(new StreamError("truncated", error.text));
      else source.end();
    },
  });
  return { source, sink: dataSink({ connection, base64 }), error: error.said };
}

/** Takes the port off the front of a channel, however it is cut, and hands on the rest. Throws ProtocolError 1002 when it is another's. */
function prefixed(port: number, next: { push(bytes: Uint8Array): void }): (bytes: Uint8Array) => void {
  let wanted: number[] = [port & 0xff, port >> 8];
  return (bytes) => {
    const lead = bytes.subarray(0, wanted.length);
    if (lead.some((byte, index) => byte !== wanted[index])) {
      throw new ProtocolError(`a channel does not begin with the port ${port}`, 1002);
    }
    wanted = wanted.slice(lead.byteLength);
    next.push(bytes.subarray(lead.byteLength));
  };
}

function dataSink(wire: Wire): ByteSink {
  const channel = channelSink(wire, dataChannel, { maxMessage });
  return {
    write: channel.write,
    close: channel.close,
    async abort() {
      await channel.close();
      wire.connection.close(1000);
    },
  };
}
