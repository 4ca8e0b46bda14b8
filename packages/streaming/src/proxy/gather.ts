import { slabBytes, smallBytes, takeSlab, writeSlab } from "../slabs.ts";
import type { Transport } from "../transport.ts";

/** Chunks on their way to a transport. What is pushed is copied. */
export interface Gatherer {
  push(chunk: Buffer): void;
  /** Writes what was pushed. */
  flush(): void;
}

/**
 * Joins the chunks of one turn of the event loop into one write: TLS hands out 16 KiB at a time, and each write costs a record of its own,
 * a system call, and a wake-up of the reader. `written` is called after each write.
 */
export function gather(to: Transport, written: () => void): Gatherer {
  let slab: Buffer | undefined;
  let used = 0;
  const flush = () => {
    if (!slab) return;
    const full = slab;
    slab = undefined;
    writeSlab(to, full, used);
    used = 0;
    written();
  };
  const begin = () => {
    setImmediate(flush);
    return takeSlab();
  };
  return {
    flush,
    push(chunk) {
      if (!slab && chunk.byteLength <= smallBytes) {
        to.write([Buffer.from(chunk)]);
        return written();
      }
      for (let offset = 0; offset < chunk.byteLength; ) {
        slab ??= begin();
        const copied = chunk.copy(slab, used, offset);
        used += copied;
        offset += copied;
        if (used === slabBytes) flush();
      }
    },
  };
}
