import type { Readable } from "node:stream";
import type { ByteSource } from "@hawser/streaming";

/** What a command's input can come from: Node's and web streams, any iterable of chunks, or all of it at once. */
export type Input =
  | Readable
  | ReadableStream<Uint8Array>
  | AsyncIterable<Uint8Array | string>
  | Iterable<Uint8Array>
  | Uint8Array
  | string;

/**
 * An input as a source that can be left at any moment, also while it waits for bytes: `stop` ends the iteration.
 * A Node stream is then paused and stays usable; one chunk of it may have been taken and not been given.
 */
export function stoppable(input: Input): { source: ByteSource; stop(): void } {
  if (typeof input === "string") return plain([Buffer.from(input, "utf8")]);
  if (input instanceof Uint8Array) return plain([input]);
  if (isNodeReadable(input)) return fromNode(input);
  return fromIterable(input as AsyncIterable<Uint8Array | string> | Iterable<Uint8Array>); // web streams are one in Node
}

function isNodeReadable(input: object): input is Readable {
  return "pipe" in input && typeof input.pipe === "function" && "resume" in input;
}

function plain(chunks: Iterable<Uint8Array>): { source: ByteSource; stop(): void } {
  return fromIterable(chunks);
}

function fromIterable(input: AsyncIterable<Uint8Array | string> | Iterable<Uint8Array>) {
  let stopped = false;
  let wake = () => {};
  async function* source(): AsyncGenerator<Uint8Array> {
    const iterator = Symbol.asyncIterator in input ? input[Symbol.asyncIterator]() : input[Symbol.iterator]();
    let ended = false;
    try {
      while (!stopped) {
        // No Promise.race with one promise for all: that would keep every chunk until the end.
        const result = await new Promise<IteratorResult<Uint8Array | string> | undefined>((resolve, reject) => {
          wake = () => resolve(undefined);
          Promise.resolve(iterator.next()).then(resolve, reject);
        });
        ended = result?.done === true;
        if (!result || result.done) return;
        yield typeof result.value === "string" ? Buffer.from(result.value, "utf8") : result.value;
      }
    } finally {
      // Not awaited: a generator that waits for its next chunk answers only then, which may be never.
      if (!ended) Promise.resolve(iterator.return?.()).catch(() => {});
    }
  }
  return {
    source: source(),
    stop() {
      stopped = true;
      wake();
    },
  };
}

function fromNode(stream: Readable): { source: ByteSource; stop(): void } {
  let ended = stream.readableEnded;
  let stopped = false;
  let failure: Error | undefined;
  const chunks: Uint8Array[] = [];
  let wake: () => void = () => {};

  const onData = (chunk: Uint8Array | string) => {
    stream.pause();
    chunks.push(typeof chunk === "string" ? Buffer.from(chunk, "utf8") : chunk);
    wake();
  };
  const onEnd = () => {
    ended = true;
    wake();
  };
  const onError = (error: Error) => {
    failure ??= error;
    wake();
  };
  const onClose = () => {
    if (!ended) onError(new Error("the input was closed before its end"));
  };
  const listeners = { data: onData, end: onEnd, error: onError, close: onClose };

  async function* source(): AsyncGenerator<Uint8Array> {
    if (stream.errored) throw stream.errored;
    if (stream.destroyed && !ended) onClose();
    stream.pause();
    for (const [name, listener] of Object.entries(listeners)) stream.on(name, listener);
    try {
      while (!stopped) {
        const chunk = chunks.shift();
        if (chunk) yield chunk;
        else if (failure) throw failure;
        else if (ended) return;
        else {
          const woken = new Promise<void>((resolve) => {
            wake = resolve;
          });
          stream.resume();
          await woken;
        }
      }
    } finally {
      for (const [name, listener] of Object.entries(listeners)) stream.off(name, listener);
      if (!ended) stream.pause();
    }
  }
  return {
    source: source(),
    stop() {
      stopped = true;
      wake();
    },
  };
}
