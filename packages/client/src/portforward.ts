import { once } from "node:events";
import type { AddressInfo, Server, Socket } from "node:net";
import type { PortForwardSession, PortForwardTransport } from "@hawser/streaming";
import type { KubeClient } from "./client.ts";
import { dialPortForward } from "./subresource.ts";

/** Connections one local port serves at once; a further one is closed as it comes. */
const maxConnections = 1024;

export interface ForwardedPort {
  /** Where we listen; 0 for any free port. */
  local: number;
  /** The port in the pod. */
  remote: number;
}

export interface PortForwardOptions {
  namespace: string;
  pod: string;
  ports: readonly ForwardedPort[];
  /** Names or IP addresses to listen on. `localhost`, the default, is 127.0.0.1 and ::1, of which one suffices. */
  addresses?: readonly string[] | undefined;
  signal?: AbortSignal | undefined;
  /**
   * Default the WebSocket tunnel, then SPDY. `legacy`, for servers before 1.30 behind a proxy that lets no SPDY through, makes a
   * WebSocket per connection; a half-close is not passed on there.
   */
  transports?: readonly PortForwardTransport[] | undefined;
  /** As for `exec`. */
  peerTimeoutMs?: number | undefined;
  onConnection?: ((port: ForwardedPort) => void) | undefined;
  /** One port cannot be listened on; the others are. */
  onListenError?: ((port: ForwardedPort, error: ListenError) => void) | undefined;
  /** One connection failed; the others and the listener go on. */
  onError?: ((port: ForwardedPort, error: unknown) => void) | undefined;
}

/** Local ports that lead into a pod. Disposing closes them and every connection. */
export interface PortForward extends AsyncDisposable {
  /** What is listened on, with the ports that were found for 0. */
  readonly listeners: readonly (ForwardedPort & { address: string })[];
  /** Resolves when it was disposed or aborted; rejects with a StreamError when the connection to the pod was lost. */
  readonly closed: Promise<void>;
}

/**
 * Listens locally and forwards each connection to a port of the pod.
 * Throws StatusError, UpgradeError, ConnectionError, and ListenError when no port can be listened on.
 */
export async function portForward(client: KubeClient, options: PortForwardOptions): Promise<PortForward> {
  const { signal } = options;
  await using stack = new AsyncDisposableStack();
  const session = stack.use(await dialPortForward(client, options));
  const listeners: (ForwardedPort & { address: string })[] = [];
  const sockets = new Set<Socket>();
  const accept = (server: Server, port: ForwardedPort) => {
    server.maxConnections = maxConnections;
    server.on("connection", (socket) => {
      const actual = { ...port, local: boundPort(server) };
      sockets.add(socket);
      socket.once("close", () => sockets.delete(socket));
      options.onConnection?.(actual);
      forward(session, socket, actual.remote).catch((error: unknown) => {
        socket.destroy();
        options.onError?.(actual, error);
      });
    });
  };
  for (const port of options.ports) {
    try {
      for (const { server, address } of await listen(port, options.addresses ?? ["localhost"], accept)) {
        stack.defer(async () => {
          const closed = closeServer(server); // which waits for its connections
          for (const socket of sockets) socket.destroy();
          await closed;
        });
        listeners.push({ ...port, local: boundPort(server), address });
      }
    } catch (error) {
      if (!(error instanceof ListenError)) throw error;
      options.onListenError?.(port, error);
    }
  }
  if (listeners.length === 0) throw new ListenError(noneOf(options.ports));
  const resources = stack.move();
  let disposal: Promise<void> | undefined;
  const dispose = () => {
    disposal ??= resources.disposeAsync();
    return disposal;
  };
  const stopped = Promise.withResolvers<void>();
  const onAbort = () => stopped.resolve();
  if (signal?.aborted) onAbort();
  else signal?.addEventListener("abort", onAbort, { once: true });
  const closed = Promise.race([session.closed, stopped.promise]).finally(async () => {
    signal?.removeEventListener("abort", onAbort);
    await dispose();
  });
  closed.catch(() => {}); // a caller may only dispose
  return {
    listeners,
    closed,
    async [Symbol.asyncDispose]() {
      stopped.resolve();
      await dispose();
    },
  };
}

/** Both directions end one by one, so that what comes after a half-close is not lost. */
async function forward(session: PortForwardSession, socket: Socket, port: number): Promise<void> {
  const { copy, sinkOf, sourceOf, StreamError } = await import("@hawser/streaming");
  const connection = await session.connect(port);
  const lost = connection.error.then((text) => {
    if (text) throw new Error(text);
  });
  lost.catch(() => {}); // awaited below
  const up = copy(sourceOf(socket), connection.sink);
  const down = copy(connection.source, sinkOf(socket));
  // What the server says on the error stream explains a cut better than the cut does.
  const [first, second] = await Promise.allSettled([up, down]);
  await lost;
  if (second.status === "rejected") {
    const { reason } = second;
    const reset = reason instanceof StreamError && reason.kind === "truncated";
    throw reset ? new StreamError("truncated", "connection reset by the pod", { cause: reason }) : reason;
  }
  if (first.status === "rejected") throw first.reason;
}

/** A local port cannot be listened on. */
export class ListenError extends Error {
  override readonly name = "ListenError";
}

/** `prepare` gets each server before it listens: a connection may come in the very next moment. */
async function listen(
  port: ForwardedPort,
  addresses: readonly string[],
  prepare: (server: Server, port: ForwardedPort) => void,
): Promise<{ server: Server; address: string }[]> {
  const { createServer } = await import("node:net");
  const found: { server: Server; address: string }[] = [];
  let local = port.local;
  const failures: unknown[] = [];
  for (const address of addresses) {
    const local4and6 = address === "localhost";
    for (const host of local4and6 ? ["127.0.0.1", "::1"] : [address]) {
      const server = createServer({ allowHalfOpen: true, noDelay: true });
      prepare(server, port);
      try {
        server.listen({ port: local, host, ipv6Only: host.includes(":") });
        await once(server, "listening");
        found.push({ server, address: host });
        // One free port for both families, so that `localhost` means the same whichever way it is resolved.
        if (local4and6) local = boundPort(server);
      } catch (error) {
        failures.push(error);
        if (local4and6) continue;
        for (const { server: each } of found) each.close(); // not waited for: it may have connections already
        throw listenError(failures);
      }
    }
  }
  if (found.length === 0) throw listenError(failures);
  return found;
}

// The words are client-go's, tools/portforward/portforward.go.
function listenError(failures: unknown[]): ListenError {
  const each = failures.map(
    (error) => `unable to create listener: Error ${error instanceof Error ? error.message : error}`,
  );
  const why = `Listeners failed to create with the following errors: [${each.join(" ")}]`;
  return new ListenError(why, { cause: failures[0] });
}

function noneOf(ports: readonly ForwardedPort[]): string {
  const list = ports.map(({ local, remote }) => `{${local} ${remote}}`).join(" ");
  return `unable to listen on any of the requested ports: [${list}]`;
}

function boundPort(server: Server): number {
  return (server.address() as AddressInfo).port; // it listens on TCP
}

async function closeServer(server: Server): Promise<void> {
  if (server.listening) await new Promise<void>((resolve) => server.close(() => resolve()));
}
