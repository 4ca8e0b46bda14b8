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
