import { SpdyConnection } from "../spdy/connection.ts";
import { nowhere, type SpdyStream } from "../spdy/stream.ts";
import type { Transport } from "../transport.ts";
import { failureText, forward } from "./forward.ts";
import type { AcceptPortForwardOptions, PortForwardServerSession } from "./types.ts";

/** Streams a client may have open: two per connection. */
const maxStreams = 2000;
/** Bytes one connection may hold before its port takes them; then all of the session waits, SPDY knowing no other way. */
const queueBytes = 1024 * 1024;

interface Pair {
  port: number;
  error?: SpdyStream;
  data?: SpdyStream;
  timer: NodeJS.Timeout;
}

/**
 * Serves port-forward streams: for each connection an error and a data stream, paired by their request id.
 *
 * Source: kubernetes/cri-streaming pkg/streaming/portforward/httpstream.go
 */
export function serveStreams(
  transport: Transport,
  options: Required<AcceptPortForwardOptions>,
): PortForwardServerSession {
  const pairs = new Map<string, Pair>();
  const connection = new SpdyConnection(transport, {
    role: "server",
    maxStreams,
    queueBytes,
    pingMs: options.pingIntervalMs,
    idleMs: options.idleTimeoutMs,
    onIdle: () => connection.close(),
    onStream(stream) {
      const type = stream.headers.get("streamtype");
      const port = portOf(stream.headers.get("port"));
      if (!port || (type !== "error" && type !== "data")) return stream.reset();
      // Ancient clients give no request id: their data stream follows its error stream.
      const id = stream.headers.get("requestid") ?? String(type === "error" ? stream.id : stream.id - 2);
      const pair = pairs.get(id) ?? newPair(id, port);
      if (pair[type] || pair.port !== port) return stream.reset();
      pair[type] = stream;
      if (type === "error") {
        stream.receiver = nowhere;
        stream.reply();
      }
      const { error, data } = pair;
      if (!error || !data) {
        stream.onFailure = () => drop(id, pair);
        return;
      }
      clearTimeout(pair.timer);
      pairs.delete(id);
      error.onFailure = undefined;
      void serveConnection({ connection, options, error, data }, port);
    },
  });
  const drop = (id: string, pair: Pair) => {
    clearTimeout(pair.timer);
    pairs.delete(id);
    pair.error?.reset();
    pair.data?.reset();
  };
  const newPair = (id: string, port: number) => {
    const timer = setTimeout(() => {
      drop(id, pair);
      options.onError(port, new Error(`request ${id}: timed out waiting for streams`));
    }, options.streamCreationTimeoutMs);
    const pair: Pair = { port, timer };
    pairs.set(id, pair);
    return pair;
  };
  connection.signal.addEventListener("abort", () => {
    for (const { timer } of pairs.values()) clearTimeout(timer);
    pairs.clear();
  });
  connection.start();
  return {
    closed: connection.closed,
    signal: connection.signal,
    async [Symbol.asyncDispose]() {
      connection.close();
      await connection.closed;
    },
  };
}

interface Served {
  connection: SpdyConnection;
  options: Required<AcceptPortForwardOptions>;
  error: SpdyStream;
  data: SpdyStream;
}

/**
 * Never rejects: what goes wrong is the end of this connection alone.
 *
 * The data stream is replied to once there is a connection in the pod. Where there is none, it is reset instead, and the reason
 * goes on the error stream. kubectl, which gives up the whole session for a word on the error stream, then reports
 * `error creating forwarding stream: stream reset` and goes on, since it looks at the error stream only after it got the data
 * stream; our client reads the reason.
 *
 * Source: kubernetes/client-go tools/portforward/portforward.go handleConnection; moby/spdystream handleResetFrame
 */
async function serveConnection({ connection, options, error, data }: Served, port: number): Promise<void> {
  const over = new AbortController();
  const signal = AbortSignal.any([connection.signal, over.signal]);
  data.onFailure = (reason) => over.abort(reason);
  if (data.failure) over.abort(data.failure);
  let connected = false;
  try {
    const target = await options.connect(port, signal);
    connected = true;
    data.onFailure = undefined; // from here on it is passed on as what it is: a reset
    data.reply();
    await forward(data, target);
  } catch (cause) {
    if (!connection.signal.aborted) options.onError(port, cause);
    data.reset();
    if (!connected || options.reportErrors) {
      await error.sink.write(Buffer.from(failureText(port, cause))).catch(() => {});
    }
  } finally {
    over.abort();
    await error.sink.close().catch(() => {});
  }
}

function portOf(text: string | undefined): number | undefined {
  if (!text || !/^\d{1,5}$/.test(text)) return undefined;
  const port = Number(text);
  return port >= 1 && port <= 65535 ? port : undefined;
}
