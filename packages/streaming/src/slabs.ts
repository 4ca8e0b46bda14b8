import type { Transport } from "./transport.ts";

/** Bytes that are written at once, at most. */
export const slabBytes = 128 * 1024;
/** Chunks of so few bytes are not held back. */
const smallBytes = 4 * 1024;
/** Slabs of this process that wait to be used again; those that come back beyond are let go. */
const spareSlabs = 16;
const spare: Buffer[] = [];

/** Memory to gather bytes in for one write. Its content is anybody's. */
export function takeSlab(): Buffer {
  return spare.pop() ?? Buffer.allocUnsafeSlow(slabBytes);
}

/** Nothing uses it any more. */
export function giveSlab(slab: Buffer): void {
  if (spare.length < spareSlabs) spare.push(slab);
}

/**
 * Writes the first bytes of a slab, which is not the caller's any more. What has to wait is written from memory of its own where it fills less than a fourth of
 * the slab: it would keep all of it, though the transport counts only the bytes.
 */
export function writeSlab(to: Pick<Transport, "write" | "backlog">, slab: Buffer, bytes: number): void {
  if (bytes <= smallBytes || (bytes < slabBytes / 4 && to.backlog > 0)) {
    to.write([Buffer.from(slab.subarray(0, bytes))]);
    giveSlab(slab);
  } else {
    to.write([slab.subarray(0, bytes)], () => giveSlab(slab));
  }
}

export interface SlabWriterOptions {
  to: Pick<Transport, "write" | "backlog">;
  /** Called before each write, when nothing more comes into it. */
  writing?(): void;
  /** Called after each write. */
  written(): void;
}

/**
 * Joins what comes within one turn of the event loop into one write: TLS hands out 16 KiB at a time, and each write costs a record of its own, a system call,
 * and a wake-up of the reader. What is put is copied. (pour() is not made of this: it joins what comes while a write is under way.)
 */
export class SlabWriter {
  readonly #options: SlabWriterOptions;
  #slab: Buffer | undefined;
  #used = 0;

  constructor(options: SlabWriterOptions) {
    this.#options = options;
  }

  /** Nothing waits to be written. */
  get isEmpty(): boolean {
    return this.#slab === undefined;
  }

  /** A few bytes go at once where nothing waits: a key stroke. */
  push(chunk: Buffer): void {
    if (this.#slab || chunk.byteLength > smallBytes) {
      this.put(chunk);
    } else {
      this.#options.to.write([Buffer.from(chunk)]);
      this.#options.written();
    }
  }

  put(bytes: Buffer): void {
    for (let offset = 0; offset < bytes.byteLength; ) offset += this.fill(bytes, offset, bytes.byteLength);
  }

  /** Copies as many of these bytes as one write has room for, and at least one. Returns how many. */
  fill(bytes: Buffer, from: number, to: number): number {
    const copied = bytes.copy(this.#withRoom(1), this.#used, from, to);
    this.#used += copied;
    return copied;
  }

  /** So many bytes for the caller to write into, until the next write, which has room for `more` behind them. */
  claim(bytes: number, more: number): Buffer {
    const slab = this.#withRoom(bytes + more);
    this.#used += bytes;
    return slab.subarray(this.#used - bytes, this.#used);
  }

  /** Whether one more byte fits into the present write. */
  get hasRoom(): boolean {
    return this.#used < slabBytes;
  }

  /** Writes what was put, where it is few. */
  flushFew(): void {
    if (this.#used <= smallBytes) this.flush();
  }

  /** Writes what was put. */
  flush(): void {
    const slab = this.#slab;
    if (!slab) return;
    this.#options.writing?.();
    const bytes = this.#used;
    this.#slab = undefined;
    this.#used = 0;
    writeSlab(this.#options.to, slab, bytes);
    this.#options.written();
  }

  #withRoom(bytes: number): Buffer {
    if (slabBytes - this.#used < bytes) this.flush();
    if (!this.#slab) {
      this.#slab = takeSlab();
      setImmediate(() => this.flush());
    }
    return this.#slab;
  }
}
