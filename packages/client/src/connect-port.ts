import { Duplex } from "node:stream";
import type { ForwardedConnection, PortForwardSession, PortForwardTransport } from "@hawser/streaming";
import type { KubeClient } from "./client.ts";
import { dialPortForward } from "./subresource.ts";

export interface ConnectPortOptions {
  namespace: string;
  pod: string;
  port: number;
  /** Aborting cuts the connection; the stream fails with its reason. */
  signal?: AbortSignal | undefined;
  /** As for `portForward`. */
  transports?: readonly PortForwardTransport[] | undefined;
  /** As for `exec`. */
  peerTimeoutMs?: number | undefined;
}

/**
 * A connection to a port of a pod, with nothing listening on this machine: a Node stream, of which `Duplex.toWeb` makes
 * a pair of web streams. Each direction ends by itself; the session goes when both have, or with `destroy`.
 *
 * Throws StatusError, UpgradeError, ConnectionError, StreamError. The stream fails when nobody listens on the port, with the
 * words of the server, and with a StreamError when the connection is lost.
 */
export async function connectPort(client: KubeClient, options: ConnectPortOptions): Promise<Duplex> {
  const { port, signal } = options;
  await using stack = new AsyncDisposableStack();
  const session = stack.use(await dialPortForward(client, options));
  const connection = await session.connect(port);
  stack.move();
  return duplex({ session, connection }, signal);
}

interface Connected {
  session: PortForwardSession;
  connection: ForwardedConnection;
}

function duplex({ session, connection }: Connected, signal: AbortSignal | undefined): Duplex {
  const chunks = connection.source[Symbol.asyncIterator]();
  const refused = connection.error.then((text) => {
    if (text) throw new Error(text);
  });
  refused.catch(() => {}); // awaited at the end of what comes
  const settle = (promise: Promise<unknown>, done: (error?: Error | null) => void): void => {
    promise.then(
      () => done(),
      (error: unknown) => done(asError(error)),
    );
  };
  const onAbort = () => stream.destroy(asError(signal?.reason));
  const stream: Duplex = new Duplex({
    allowHalfOpen: true,
    read() {
      const next = async () => {
        const { done, value } = await chunks.next().catch(async (error: unknown) => {
          await refused; // what the server says explains a cut better than the cut does
          throw error;
        });
        if (done) await refused;
        stream.push(done ? null : value);
      };
      next().catch((error: unknown) => stream.destroy(asError(error)));
    },
    write(chunk: Buffer, _encoding, done) {
      settle(connection.sink.write(chunk), done);
    },
    final(done) {
      settle(connection.sink.close(), done);
    },
    destroy(error, done) {
      signal?.removeEventListener("abort", onAbort);
      settle(Promise.resolve(session[Symbol.asyncDispose]()), (failure) => done(error ?? failure ?? null));
    },
  });
  if (signal?.aborted) onAbort();
  else signal?.addEventListener("abort", onAbort, { once: true });
  return stream;
}

function asError(value: unknown): Error {
  return value instanceof Error ? value : new Error(String(value));
}
