import type { Socket } from "node:net";
import type { ByteSource, ByteTaker } from "./bytes.ts";
import { heldBy } from "./node.ts";
import { giveSlab, slabBytes, takeSlab } from "./slabs.ts";

/**
 * Moves all of a source into a pipe or socket, and leaves that open. What comes after it was closed is dropped, so that the source is
 * not held up. Rejects when the source fails.
 *
 * Chunks are copied, into memory that is used again. Where the target is slower than the source, each of them would otherwise
 * wait in memory of its own.
 */
export function pour(source: ByteSource, target: Socket): Promise<void> {
  const { flush, ...taker } = copierTo(target);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const end = () => {
    flush();
    resolve();
  };
  const fail = (error: unknown) => {
    flush();
    reject(error);
  };
  if (source.handTo) source.handTo({ ...taker, end, fail });
  else pourEach(source, taker).then(end, fail);
  return promise;
}

/** Bytes not written yet from which on a target has no room. */
const mostBytes = slabBytes * 1.5;

type Copier = Pick<ByteTaker, "push" | "room" | "isQueue">;

async function pourEach(source: ByteSource, { push, room }: Copier): Promise<void> {
  for await (const chunk of source) {
    push(chunk);
    await room();
  }
}

/** One slab is written while the next is filled. */
function copierTo(target: Socket): Copier & { flush(): void } {
  let slab: Buffer | undefined;
  let used = 0;
  let underWay = 0;
  let waiting: PromiseWithResolvers<void> | undefined;
  const isOpen = () => !target.destroyed && !target.writableEnded;
  const goOn = () => {
    const current = waiting;
    waiting = undefined;
    current?.resolve();
  };
  target.on("close", goOn);
  target.on("error", () => {}); // it closes; without a listener it would end the process
  const write = (bytes: Uint8Array, free: () => void) => {
    let isUnderWay = true;
    underWay++;
    const done = (error?: Error | null) => {
      if (!isUnderWay) return;
      isUnderWay = false;
      underWay--;
      if (!error) free();
      if (underWay > 0) return;
      flush();
      if (hasRoom()) goOn();
    };
    target.write(bytes, done);
    if (isOpen() && heldBy(target) === 0) done();
  };
  const flush = () => {
    if (!slab) return;
    const full = slab;
    const bytes = full.subarray(0, used);
    slab = undefined;
    used = 0;
    if (isOpen()) write(bytes, () => giveSlab(full));
  };
  let soon = false;
  /** What one read brought goes in one write, though its frames are pushed one by one: a third of the system calls, and of the wake-ups of who reads the pipe. */
  const flushSoon = () => {
    if (soon || underWay > 0) return;
    soon = true;
    queueMicrotask(() => {
      soon = false;
      if (underWay === 0) flush();
    });
  };
  const hasRoom = () => target.writableLength + used < mostBytes;
  return {
    isQueue: true,
    flush,
    push(chunk) {
      if (!isOpen()) return true;
      if (used + chunk.byteLength > slabBytes) flush();
      if (chunk.byteLength > slabBytes) {
        write(chunk, () => {});
        return heldBy(target) === 0;
      }
      slab ??= takeSlab();
      slab.set(chunk, used);
      used += chunk.byteLength;
      flushSoon();
      return true;
    },
    room() {
      if (!isOpen() || hasRoom()) return undefined;
      waiting ??= Promise.withResolvers();
      return waiting.promise;
    },
  };
}
