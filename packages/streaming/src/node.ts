// The two ends of Node's streams, as this package reads and writes them.
import { Socket } from "node:net";
import type { Readable, Writable } from "node:stream";
import { ByteQueue } from "./byte-queue.ts";
import type { ByteDuplex, ByteSink, ByteSource } from "./bytes.ts";
import { StreamError } from "./errors.ts";

/** Bytes a source may hold ahead of its reader. */
const readAhead = 256 * 1024;

/**
 * The Node side of a ByteSink. write() resolves when the stream has room again, and rejects when it is closed or fails
 * meanwhile: neither a lost drain event nor a callback that never comes can hang it.
 */
export function sinkOf(writable: Writable): ByteSink {
  const room = roomIn(writable);
  return {
    write(chunk) {
      if (!isOpen(writable)) return Promise.reject(closedError(writable));
      return writable.write(chunk) ? resolved : room();
    },
    async close() {
      if (writable.writableFinished) return;
      if (writable.destroyed) throw closedError(writable);
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const onClose = () => (writable.writableFinished ? resolve() : reject(closedError(writable)));
      writable.once("close", onClose);
      writable.end((error?: Error | null) => (error ? reject(error) : resolve()));
      await promise.finally(() => writable.off("close", onClose));
    },
    async abort(reason) {
      if (!resetTCP(writable)) writable.destroy(reason instanceof Error ? reason : new Error(String(reason)));
    },
  };
}

/** Ends a TCP connection by a reset, which its peer can tell from an orderly end. */
function resetTCP(writable: Writable): boolean {
  if (!(writable instanceof Socket) || writable.destroyed || writable.remoteAddress === undefined) return false;
  try {
    writable.resetAndDestroy();
    return true;
  } catch {
    return false; // TLS: there is nothing but to destroy it
  }
}

/** Bytes written whose memory is in use: what the kernel has, or TLS has encrypted, no more; other streams hand the memory itself on. */
export function heldBy(stream: Writable): number {
  return stream instanceof Socket ? stream.writableLength : Number.POSITIVE_INFINITY;
}

const resolved = Promise.resolve();

/** Returns a wait for the next drain, shared by all who wait; it rejects when the stream closes instead. */
export function roomIn(writable: Writable): () => Promise<void> {
  let waiting: PromiseWithResolvers<void> | undefined;
  const settle = (error?: Error) => {
    const current = waiting;
    waiting = undefined;
    if (error) current?.reject(error);
    else current?.resolve();
  };
  writable.on("drain", () => settle());
  writable.on("close", () => settle(closedError(writable)));
  // The failure reaches those who write; without a listener it would end the process.
  writable.on("error", () => {});
  return () => {
    if (!isOpen(writable)) return Promise.reject(closedError(writable));
    if (!writable.writableNeedDrain) return resolved;
    waiting ??= Promise.withResolvers();
    return waiting.promise;
  };
}

function isOpen(writable: Writable): boolean {
  return !writable.destroyed && !writable.writableEnded;
}

function closedError(writable: Writable): Error {
  return writable.errored ?? new StreamError("lost", "the stream is closed");
}

/**
 * The Node side of a ByteSource. Unlike Node's own iterator it leaves the stream alive at EOF, so that the other half of a
 * socket goes on. Leaving the iteration early discards the rest. One reader; up to 256 KiB are read ahead of it.
 */
export function sourceOf(readable: Readable): ByteSource {
  const queue = new ByteQueue({
    limit: readAhead,
    onFull: () => readable.pause(),
    onDrained: () => readable.resume(),
  });
  let started = false;
  const start = () => {
    started = true;
    if (readable.readableEnded) queue.end();
    else if (readable.destroyed) queue.fail(readable.errored ?? new StreamError("lost", "the stream is closed"));
    readable.on("data", (chunk: Buffer) => queue.push(chunk));
    readable.on("end", () => queue.end());
    readable.on("error", (error) => queue.fail(error));
    readable.on("close", () => queue.fail(new StreamError("lost", "the stream was closed before its end")));
  };
  return {
    [Symbol.asyncIterator]() {
      if (!started) start();
      return queue[Symbol.asyncIterator]();
    },
  };
}

/** A socket, pipe pair or other Duplex as two directions that end one by one (the Duplex must allow half-open). */
export function duplexOf(duplex: Readable & Writable): ByteDuplex {
  return { source: sourceOf(duplex), sink: sinkOf(duplex) };
}
