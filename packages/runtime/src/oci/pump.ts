import type { Readable } from "node:stream";
import { type ByteSink, readReused } from "@hawser/streaming";

/** How often a silent output is looked at after its command has ended, milliseconds. */
const lookInterval = 25;
/** The longest time an output is read on after its command has ended, while its reader keeps up, milliseconds. */
const maxDrain = 5000;

/**
 * Moves an output to its reader: all of it, at the reader's pace. Resolves at the output's end.
 *
 * A child left in the background may hold the output open for ever (containerd#9568), so that once `exited` has settled,
 * `drainMs` of silence, or 5 s of chatter, count as the end. Time the reader takes does not count.
 * A terminal's EIO is its end. Rejects when the sink does; the output is closed then.
 */
export async function pump(options: {
  stream: Readable;
  sink: ByteSink;
  exited: Promise<unknown>;
  drainMs: number;
}): Promise<void> {
  const { stream, sink, exited, drainMs } = options;
  const { promise: ended, resolve: end, reject: fail } = Promise.withResolvers<void>();
  /** Chunks that the sink has not taken. */
  let waiting = 0;
  let atEnd = false;
  let silentSince = performance.now();
  let timer: NodeJS.Timeout | undefined;
  let over = false;
  const watch = () => {
    if (over) return;
    let readingFor = 0;
    silentSince = performance.now();
    timer = setInterval(() => {
      if (waiting > 0) return;
      readingFor += lookInterval;
      if (performance.now() - silentSince >= drainMs || readingFor >= maxDrain) stream.destroy();
    }, lookInterval);
  };
  exited.then(watch, watch);
  const onEnd = () => {
    atEnd = true;
    if (waiting === 0) end();
  };
  const onTaken = () => {
    waiting--;
    silentSince = performance.now();
    if (waiting > 0) return;
    if (atEnd) end();
    else stream.resume();
  };
  stream.on("end", onEnd);
  stream.on("close", onEnd);
  stream.on("error", (error: NodeJS.ErrnoException) => (error.code === "EIO" ? onEnd() : fail(error)));
  readReused(stream, (chunk) => {
    silentSince = performance.now();
    const taken = sink.write(chunk);
    if (sink.held === 0) {
      taken.catch(fail);
      return true;
    }
    waiting++;
    stream.pause();
    taken.then(onTaken, fail);
    return false;
  });
  try {
    await ended;
  } finally {
    over = true;
    clearInterval(timer);
    stream.destroy();
  }
}
