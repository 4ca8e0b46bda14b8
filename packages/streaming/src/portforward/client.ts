import { StreamError, UpgradeError } from "../errors.ts";
import { watchPeer } from "../peer-watch.ts";
import { livenessOf } from "../silence.ts";
import { SpdyConnection } from "../spdy/connection.ts";
import { dialSpdy } from "../spdy/handshake.ts";
import type { Transport } from "../transport.ts";
import type { DialTarget, UpgradeKind } from "../upgrade/types.ts";
import { dialWebSocket } from "../websocket/dial.ts";
import { tunnelTransport } from "../websocket/tunnel.ts";
import { openLegacy } from "./client-legacy.ts";
import { ErrorText } from "./error-text.ts";
import { portForwardProtocol, tunnelProtocol } from "./protocols.ts";
import type { ForwardedConnection, OpenPortForwardOptions, PortForwardSession } from "./types.ts";

/** Bytes one connection may hold unread; then all of the session waits. */
const queueBytes = 1024 * 1024;
/** Milliseconds the error stream may outlive its connection. */
const errorGraceMs = 1000;
/** Milliseconds that a session that was closed here goes on for, so that what its connections have sent can leave. */
const closeMs = 5000;

/**
 * Opens a port-forward session; any number of connections can be made through it. The transports are tried in order,
 * the next only when the upgrade was refused. `legacy` dials when a connection is made, so nothing is refused before.
 *
 * Throws UpgradeError, the signal's reason, the socket's error, or RangeError for a time below 0.
 *
 * Source: kubernetes/client-go tools/portforward
 */
export async function openPortForward(
  target: DialTarget,
  options: OpenPortForwardOptions = {},
): Promise<PortForwardSession> {
  livenessOf(options, 0); // before anything is dialled
  const transports = options.transports ?? ["websocket", "spdy"];
  for (const [index, kind] of transports.entries()) {
    try {
      if (kind === "legacy") return openLegacy(target, options);
      return makeSession(await (kind === "websocket" ? dialTunnel : dialDirect)(target, options), kind, options);
    } catch (error) {
      if (!(error instanceof UpgradeError) || index === transports.length - 1) throw error;
    }
  }
  throw new TypeError("no transport to open a port-forward with");
}

async function dialTunnel(target: DialTarget, { peerTimeoutMs }: OpenPortForwardOptions): Promise<Transport> {
  const protocols = [tunnelProtocol(portForwardProtocol)];
  return tunnelTransport(await dialWebSocket(target, protocols, { pingMs: 0, peerTimeoutMs }));
}

async function dialDirect(target: DialTarget, { peerTimeoutMs }: OpenPortForwardOptions): Promise<Transport> {
  const { transport, protocol, socket } = await dialSpdy(target, [portForwardProtocol]);
  if (protocol === portForwardProtocol) {
    const watch = watchPeer(socket, peerTimeoutMs);
    void transport.closed.then(() => watch[Symbol.dispose]());
    return transport;
  }
  transport.destroy();
  throw new UpgradeError(`unable to negotiate protocol: client supports ${portForwardProtocol}, server named none`, {
    statusCode: 101,
    headers: {},
    body: "",
  });
}

function makeSession(transport: Transport, kind: UpgradeKind, options: OpenPortForwardOptions): PortForwardSession {
  const liveness = livenessOf(options, 10_000);
  const connection = new SpdyConnection(transport, { role: "client", maxStreams: 0, queueBytes, ...liveness });
  const closed = Promise.withResolvers<void>();
  closed.promise.catch(() => {}); // who waits for it is told
  let closing = false;
  connection.signal.addEventListener("abort", () => {
    if (closing) closed.resolve();
    else closed.reject(new StreamError("lost", "lost connection to pod", { cause: connection.signal.reason }));
  });
  connection.start();
  let requests = 0;
  return {
    transport: kind,
    closed: closed.promise,
    async connect(port) {
      return openConnection(connection, port, requests++);
    },
    async [Symbol.asyncDispose]() {
      closing = true;
      connection.close(closeMs);
      closed.resolve();
    },
  };
}

function openConnection(connection: SpdyConnection, port: number, request: number): ForwardedConnection {
  const receiver = new ErrorText();
  const headers = [
    ["port", String(port)],
    ["requestid", String(request)],
  ] as const;
  const error = connection.open([["streamtype", "error"], ...headers], { receiver });
  const data = connection.open([["streamtype", "data"], ...headers]);
  error.sink.close().catch(() => {}); // nothing is sent on it
  void data.finished.then(() => {
    const timer = setTimeout(() => error.reset(), errorGraceMs);
    void error.finished.then(() => clearTimeout(timer));
  });
  return { source: data.source, sink: data.sink, error: receiver.said };
}
