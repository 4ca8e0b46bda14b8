const newline = 0x0a;
/** Bytes of a line that are held until its end comes; of a longer one, pieces are handed on, and others' lines may come between. */
const maxHeldBytes = 1024 * 1024;

/**
 * A log in pieces of whole lines, byte for byte, each line behind `prefix`: what several logs write to one output in such
 * pieces does not mix within lines. A last line without its newline stays without. Should the log break off, what came
 * of its last line is given before the error is thrown.
 */
export async function* wholeLines(source: AsyncIterable<Uint8Array>, prefix = ""): AsyncGenerator<Uint8Array> {
  const before = Buffer.from(prefix);
  let held: Uint8Array[] = [];
  let length = 0;
  let midLine = false;
  const take = (last?: Uint8Array): Uint8Array => {
    const bytes = Buffer.concat(last ? [...held, last] : held);
    const piece = prefixed(bytes, before, midLine);
    midLine = bytes.at(-1) !== newline;
    held = [];
    length = 0;
    return piece;
  };
  try {
    for await (const chunk of source) {
      const end = chunk.lastIndexOf(newline) + 1;
      if (end > 0) yield take(chunk.subarray(0, end));
      if (end === chunk.length) continue;
      held.push(chunk.subarray(end));
      length += chunk.length - end;
      if (length > maxHeldBytes) yield take();
    }
  } catch (error) {
    if (length > 0) yield take();
    throw error;
  }
  if (length > 0) yield take();
}

function prefixed(bytes: Buffer, prefix: Buffer, midLine: boolean): Uint8Array {
  if (prefix.length === 0) return bytes;
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const found = bytes.indexOf(newline, at);
    const end = found < 0 ? bytes.length : found + 1;
    if (at > 0 || !midLine) parts.push(prefix);
    parts.push(bytes.subarray(at, end));
    at = end;
  }
  return Buffer.concat(parts);
}
