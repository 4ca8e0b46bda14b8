import { Socket } from "node:net";
import type { Writable } from "node:stream";
import type { ByteSink, ByteSource } from "@hawser/streaming";

/**
 * Where a command's output can go. It is left open at the end: it is the caller's. An object that has `held`, as a ByteSink may, is faster: after a
 * write() that leaves it at 0, the chunk's memory is used for the next one.
 */
export type Output = Writable | WritableStream<Uint8Array> | Pick<ByteSink, "write" | "held">;

/** One `write` for all of them, which resolves when there is room for more. `release` gives the output back. */
export interface OutputWriter {
  write(chunk: Uint8Array): Promise<void>;
  /** As a ByteSink's. */
  readonly held?: number | undefined;
  release(): void;
}

/** Writes all of a source, and rejects when either fails. Where the writer tells what it holds, chunks need no memory of their own. */
export async function writeAll(source: ByteSource, writer: OutputWriter): Promise<void> {
  if (writer.held !== undefined && source.handTo) return await handOver(source, writer);
  for await (const chunk of source) if (chunk.length > 0) await writer.write(chunk);
}

function handOver(source: ByteSource, writer: OutputWriter): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let last = Promise.resolve();
  let room: Promise<void> | undefined;
  let failed = false;
  const fail = (error: unknown) => {
    failed = true;
    reject(error);
  };
  const hasRoom = () => {
    room = undefined;
  };
  source.handTo?.({
    push(chunk) {
      if (failed) return true; // dropped, so that the other outputs are not held up
      last = Promise.try(() => writer.write(chunk)); // one that throws must not do so to the connection
      last.catch(fail);
      const done = writer.held === 0;
      if (!done) room = last.then(hasRoom, fail);
      return done;
    },
    room: () => (failed ? undefined : room),
    end: () => void last.then(resolve, fail),
    fail,
  });
  return promise;
}

export function outputWriter(output: Output): OutputWriter {
  if ("getWriter" in output) return fromWeb(output);
  if ("writableLength" in output) return fromNode(output);
  return {
    write: (chunk) => output.write(chunk),
    get held() {
      return output.held;
    },
    release: () => {},
  };
}

function fromWeb(stream: WritableStream<Uint8Array>): OutputWriter {
  const writer = stream.getWriter();
  return {
    async write(chunk) {
      await writer.ready;
      await writer.write(chunk);
    },
    release: () => writer.releaseLock(),
  };
}

/**
 * Waits for each write's callback only where the stream is full; a stream that fails or closes rejects the wait
 * under way and every later write.
 */
function fromNode(stream: Writable): OutputWriter {
  let failure: Error | undefined;
  let waiting: PromiseWithResolvers<void> | undefined;
  const settle = (error?: Error) => {
    const { resolve, reject } = waiting ?? {};
    waiting = undefined;
    if (error) reject?.(error);
    else resolve?.();
  };
  const onDrain = () => settle();
  const onError = (error: Error) => {
    failure ??= error;
    settle(failure);
  };
  const onClose = () => onError(new Error("the output was closed"));
  stream.on("drain", onDrain).on("error", onError).on("close", onClose);
  const tells = stream instanceof Socket || isFile(stream);
  return {
    get held() {
      return tells ? stream.writableLength : undefined;
    },
    async write(chunk) {
      if (failure) throw failure;
      if (stream.destroyed || stream.writableEnded) throw stream.errored ?? new Error("the output was closed");
      if (stream.write(chunk)) return;
      waiting ??= Promise.withResolvers();
      await waiting.promise;
    },
    release() {
      stream.off("drain", onDrain).off("close", onClose);
      // The error of a write that was accepted may still be on its way, and nobody else may listen.
      setImmediate(() => stream.off("error", onError)).unref();
    },
  };
}

/** Is it the process.stdout, or stderr, that goes to a file? Such a one has written when its write() returns. */
function isFile(stream: Writable & { _type?: unknown }): boolean {
  return stream._type === "fs";
}
