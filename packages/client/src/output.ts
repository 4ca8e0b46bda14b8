import type { Writable } from "node:stream";
import type { ByteSink } from "@hawser/streaming";

/** Where a command's output can go. It is left open at the end: it is the caller's. */
export type Output = Writable | WritableStream<Uint8Array> | Pick<ByteSink, "write">;

/** One `write` for all of them, which resolves when there is room for more. `release` gives the output back. */
export interface OutputWriter {
  write(chunk: Uint8Array): Promise<void>;
  release(): void;
}

export function outputWriter(output: Output): OutputWriter {
  if ("getWriter" in output) return fromWeb(output);
  if ("writableLength" in output) return fromNode(output);
  return { write: (chunk) => output.write(chunk), release: () => {} };
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
  return {
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
