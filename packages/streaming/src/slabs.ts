import type { Transport } from "./transport.ts";

/** Bytes that are written at once, at most. */
export const slabBytes = 128 * 1024;
/** Chunks of so few bytes are not held back. */
export const smallBytes = 4 * 1024;
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
