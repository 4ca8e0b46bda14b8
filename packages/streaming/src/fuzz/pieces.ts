/** An input cut where its own bytes say: the same cuts each time. */
export function pieces(input: Buffer): Buffer[] {
  const found: Buffer[] = [];
  for (let offset = 0; offset < input.byteLength; ) {
    const length = 1 + ((input[offset] ?? 0) % 23);
    found.push(input.subarray(offset, offset + length));
    offset += length;
  }
  return found;
}
