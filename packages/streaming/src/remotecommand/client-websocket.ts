import { ByteQueue, pausing } from "../byte-queue.ts";
import type { ByteSink } from "../bytes.ts";
import { ProtocolError, StreamError } from "../errors.ts";
import { livenessOf } from "../silence.ts";
import type { Receiver } from "../spdy/stream.ts";
import type { DialTarget } from "../upgrade/types.ts";
import { channelSink, type Wire, writeMessage } from "../websocket/channel-sink.ts";
import { Channel, closeSignal, decodeMessage } from "../websocket/channels.ts";
import { dialWebSocket } from "../websocket/dial.ts";
import { givenUpMs, sessionStatus, track } from "./client-status.ts";
import { featuresOf, Protocol } from "./protocols.ts";
import { encodeSize } from "./resize.ts";
import { StatusReader } from "./status.ts";
import type { ClientSession, OpenOptions } from "./types.ts";

/** Bytes of stdin in one message: real servers read into 32 KiB + 1 and do not join what was cut. */
const maxMessage = 32 * 1024;
/** Bytes of one output that may wait for their reader; then the socket is not read. */
const queueBytes = 256 * 1024;

/**
 * A remote command over WebSocket.
 *
 * Source: kubernetes/client-go tools/remotecommand/websocket.go
 */
export async function openOverWebSocket(target: DialTarget, options: OpenOptions): Promise<ClientSession> {
  const { protocols = [Protocol.v5], peerTimeoutMs } = options;
  const connection = await dialWebSocket(target, protocols, { ...livenessOf(options, 5000), peerTimeoutMs });
  const { base64 } = featuresOf(connection.protocol);
  const errorEnded = Promise.withResolvers<void>();
  const reader = new StatusReader(connection.protocol, errorEnded.resolve);
  const whileFull = pausing(connection);
  const queue = () => new ByteQueue({ limit: queueBytes, ...whileFull });
  const [stdout, stderr] = [options.stdout && queue(), options.stderr && !options.tty && queue()];
  const receivers = new Map<number, Receiver>([[Channel.error, reader]]);
  const outputs = (
    [
      [Channel.stdout, stdout],
      [Channel.stderr, stderr],
    ] as const
  ).flatMap(([channel, output]) => {
    if (!output) return [];
    const tracked = track(output);
    receivers.set(channel, tracked.receiver);
    return [tracked];
  });
  const push = (channel: number, bytes: Uint8Array) => receivers.get(channel)?.push(bytes) ?? true;
  connection.start({
    ...(!base64 && { piece: push }),
    message(data, isBinary) {
      if (!isBinary && !base64) throw new ProtocolError("unexpected message type: 1", 1003);
      const message = decodeMessage(data, { base64, closeSignal: false });
      if (message?.type === "data") push(message.channel, message.bytes);
    },
    end(error) {
      for (const receiver of receivers.values()) error ? receiver.fail(error) : receiver.end();
    },
  });
  /** Before v4 silence is success: that we hung up ourselves must not pass for the server's silence. */
  const giveUp = () => {
    const error = new StreamError("lost", "the session was closed here");
    for (const receiver of receivers.values()) receiver.fail(error);
    connection.close(1000);
    const timer = setTimeout(() => connection.destroy(), givenUpMs);
    void connection.closed.then(() => clearTimeout(timer));
  };
  const status = sessionStatus(reader, errorEnded.promise, outputs);
  status.catch(() => connection.close(1000)); // who awaits it is told; nobody may
  return {
    transport: "websocket",
    protocol: connection.protocol,
    ...(options.stdin && { stdin: stdinSink({ connection, base64 }, giveUp) }),
    ...(stdout && { stdout }),
    ...(stderr && { stderr }),
    async resize(size) {
      if (options.tty) await writeMessage({ connection, base64 }, Channel.resize, encodeSize(size));
    },
    status,
    async [Symbol.asyncDispose]() {
      giveUp();
    },
  };
}

function stdinSink(wire: Wire, giveUp: () => void): ByteSink {
  const { protocol } = wire.connection;
  const channel = channelSink(wire, Channel.stdin, { maxMessage });
  let closed = false;
  return {
    write: channel.write,
    async close() {
      if (closed) return;
      closed = true;
      await channel.close();
      if (!featuresOf(protocol).closeSignal) {
        throw new StreamError("protocol", `${protocol || Protocol.v1} cannot tell the end of stdin`);
      }
      await writeMessage(wire, closeSignal, Uint8Array.of(Channel.stdin));
    },
    async abort() {
      closed = true;
      await channel.close();
      giveUp();
    },
  };
}
