import type { Status } from "@hawser/api";
import { StreamError } from "../errors.ts";
import { SpdyConnection } from "../spdy/connection.ts";
import { acceptSpdy } from "../spdy/handshake.ts";
import { nowhere, type SpdyStream } from "../spdy/stream.ts";
import type { UpgradeRequest } from "../upgrade/types.ts";
import { idleStatus } from "./idle.ts";
import { featuresOf } from "./protocols.ts";
import { SizeReader } from "./resize.ts";
import { encodeStatus } from "./status.ts";
import type { AcceptOptions, RemoteCommandStreams, ServerSession } from "./types.ts";

/** Streams a client may have open. It needs five. */
const maxStreams = 16;
/** Milliseconds the client may take to close once it has its status. */
const closeMs = 5000;

/**
 * A remote command over SPDY: the client opens a stream per kind, in any order.
 *
 * Source: kubernetes/cri-streaming pkg/streaming/remotecommand/httpstream.go
 */
export async function acceptOverSpdy(
  upgrade: UpgradeRequest,
  options: Required<AcceptOptions>,
): Promise<ServerSession> {
  const { transport, protocol } = acceptSpdy(upgrade, options.protocols);
  const wanted = wantedTypes(options, protocol);
  const streams = new Map<string, SpdyStream>();
  const sizes = new SizeReader();
  const all = Promise.withResolvers<void>();
  let session: ServerSession | undefined;
  const connection = new SpdyConnection(transport, {
    role: "server",
    maxStreams,
    pingMs: options.pingIntervalMs,
    idleMs: options.idleTimeoutMs,
    onIdle: () => void session?.finish(idleStatus(options.idleTimeoutMs)),
    onStream(stream) {
      const type = stream.headers.get("streamtype") ?? "";
      if (streams.has(type)) return stream.reset();
      if (type === "resize") stream.receiver = sizes;
      // Others than those asked for are accepted as the real servers do, and what they carry is dropped.
      else if (type !== "stdin" || !wanted.has(type)) stream.receiver = nowhere;
      stream.reply();
      if (!wanted.has(type)) return;
      streams.set(type, stream);
      if (streams.size === wanted.size) all.resolve();
    },
  });
  connection.start();
  await untilAll(connection, all, options.streamCreationTimeoutMs);
  session = makeSession({ connection, protocol, streams, sizes });
  return session;
}

function wantedTypes({ stdin, stdout, stderr, tty }: RemoteCommandStreams, protocol: string): Set<string> {
  const wanted = new Set(["error"]);
  if (stdin) wanted.add("stdin");
  if (stdout) wanted.add("stdout");
  if (stderr) wanted.add("stderr");
  if (tty && featuresOf(protocol).resize) wanted.add("resize");
  return wanted;
}

async function untilAll(connection: SpdyConnection, all: PromiseWithResolvers<void>, timeoutMs: number): Promise<void> {
  const timer = setTimeout(() => {
    all.reject(new StreamError("protocol", "timed out waiting for client to create streams"));
  }, timeoutMs);
  const onGone = () => all.reject(connection.signal.reason);
  connection.signal.addEventListener("abort", onGone, { once: true });
  try {
    await all.promise;
  } catch (error) {
    connection.close();
    throw error;
  } finally {
    clearTimeout(timer);
    connection.signal.removeEventListener("abort", onGone);
  }
}

interface Parts {
  connection: SpdyConnection;
  protocol: string;
  streams: Map<string, SpdyStream>;
  sizes: SizeReader;
}

function makeSession({ connection, protocol, streams, sizes }: Parts): ServerSession {
  const [stdin, stdout, stderr, error] = ["stdin", "stdout", "stderr", "error"].map((type) => streams.get(type));
  let finished: Promise<void> | undefined;
  const finish = async (status: Status) => {
    sizes.end();
    // The client may be gone, which its signal has told: then there is nobody left to tell.
    await Promise.allSettled([stdout?.sink.close(), stderr?.sink.close()]);
    await error?.sink.write(encodeStatus(protocol, status)).catch(() => {});
    await error?.sink.close().catch(() => {});
    stdin?.discard();
    await connection.peerClosed(closeMs);
    connection.close();
  };
  return {
    transport: "spdy",
    protocol,
    ...(stdin && { stdin: stdin.source }),
    ...(stdout && { stdout: stdout.sink }),
    ...(stderr && { stderr: stderr.sink }),
    resize: sizes,
    signal: connection.signal,
    finish(status) {
      finished ??= finish(status);
      return finished;
    },
    async [Symbol.asyncDispose]() {
      if (!finished) connection.close();
    },
  };
}
