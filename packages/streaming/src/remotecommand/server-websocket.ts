import type { Status } from "@hawser/api";
import { ByteQueue } from "../byte-queue.ts";
import { ProtocolError, StreamError } from "../errors.ts";
import type { UpgradeRequest } from "../upgrade/types.ts";
import { acceptWebSocket } from "../websocket/accept.ts";
import { channelSink } from "../websocket/channel-sink.ts";
import { Channel, closeSignal, decodeMessage } from "../websocket/channels.ts";
import type { WebSocketConnection } from "../websocket/connection.ts";
import { idleStatus } from "./idle.ts";
import { featuresOf } from "./protocols.ts";
import { SizeReader } from "./resize.ts";
import { encodeStatus } from "./status.ts";
import type { AcceptOptions, ServerSession } from "./types.ts";

/** Bytes of stdin that may wait for the command; then the socket is not read. */
const stdinQueueBytes = 256 * 1024;
/** Milliseconds the client may take to close once it has its status. */
const closeMs = 5000;

/**
 * A remote command over WebSocket: one channel per kind, v5 and the older ones, base64 too.
 *
 * Source: kubernetes/cri-streaming pkg/streaming/remotecommand/websocket.go
 */
export async function acceptOverWebSocket(
  upgrade: UpgradeRequest,
  options: Required<AcceptOptions>,
): Promise<ServerSession> {
  let onIdle = () => {};
  const connection = await acceptWebSocket(upgrade, options.protocols, {
    pingMs: options.pingIntervalMs,
    idleMs: options.idleTimeoutMs,
    onIdle: () => onIdle(),
  });
  const session = makeSession(connection, options);
  session.signal.throwIfAborted(); // it may have gone already: whoever gets a session may rely on the signal's event
  onIdle = () => void session.finish(idleStatus(options.idleTimeoutMs));
  return session;
}

function makeSession(connection: WebSocketConnection, options: Required<AcceptOptions>): ServerSession {
  const { protocol } = connection;
  const features = featuresOf(protocol);
  const gone = new AbortController();
  const sizes = new SizeReader();
  const stdin = options.stdin
    ? new ByteQueue({ limit: stdinQueueBytes, onFull: () => connection.pause(), onDrained: () => connection.resume() })
    : undefined;
  const lost = (error: StreamError) => {
    stdin?.fail(error);
    sizes.end();
    gone.abort(error);
  };
  const push = (channel: number, bytes: Uint8Array) => {
    if (channel === closeSignal && features.closeSignal)
      throw new ProtocolError("the close signal names no channel", 1002);
    if (channel === Channel.stdin) return stdin?.push(bytes) ?? true;
    return channel !== Channel.resize || sizes.push(bytes);
  };
  connection.start({
    ...(!features.base64 && { piece: push }),
    message(data) {
      const message = decodeMessage(data, features);
      if (message?.type === "data") push(message.channel, message.bytes);
      else if (message?.channel === Channel.stdin) stdin?.end();
      else if (message?.channel === Channel.resize) sizes.end();
    },
    end: (error) => lost(error ?? new StreamError("lost", "the client closed the connection")),
  });
  const sink = (channel: number) => channelSink({ connection, base64: features.base64 }, channel);
  const stdout = options.stdout ? sink(Channel.stdout) : undefined;
  const stderr = options.stderr ? sink(Channel.stderr) : undefined;
  const error = sink(Channel.error);
  // "You are connected": clients wait for it, and skip what is empty.
  (stdout ?? stderr ?? error).send(new Uint8Array(0));

  let finished: Promise<void> | undefined;
  const finish = async (status: Status) => {
    sizes.end();
    await Promise.allSettled([stdout?.close(), stderr?.close()]);
    const bytes = encodeStatus(protocol, status);
    if (bytes.byteLength > 0) await error.write(bytes).catch(() => {}); // the client may be gone
    stdin?.discard();
    connection.close(1000);
    await Promise.race([connection.closed, after(closeMs)]);
  };
  return {
    transport: "websocket",
    protocol,
    ...(stdin && { stdin }),
    ...(stdout && { stdout }),
    ...(stderr && { stderr }),
    resize: sizes,
    signal: gone.signal,
    finish(status) {
      finished ??= finish(status);
      return finished;
    },
    async [Symbol.asyncDispose]() {
      if (!finished) connection.close(1011, "the session was given up");
    },
  };
}

async function after(milliseconds: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  setTimeout(resolve, milliseconds).unref();
  await promise;
}
