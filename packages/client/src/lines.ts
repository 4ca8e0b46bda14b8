/** Thrown when a line is longer than its reader allows. */
export class LineTooLongError extends Error {
  override readonly name = "LineTooLongError";
}

/**
 * The lines of a byte stream, as text without their newline. A last line without one is given too.
 * `maxBytes` bounds one line, and with it what is held in memory. Throws LineTooLongError beyond it.
 */
export async function* lines(source: AsyncIterable<Uint8Array>, maxBytes: number): AsyncGenerator<string> {
  let parts: Uint8Array[] = [];
  let held = 0;
  for await (const chunk of source) {
    let start = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      check(held + end - start, maxBytes);
      yield text(parts, chunk.subarray(start, end));
      parts = [];
      held = 0;
      start = end + 1;
    }
    if (start < chunk.length) {
      parts.push(chunk.subarray(start));
      held += chunk.length - start;
      check(held, maxBytes);
    }
  }
  if (held > 0) yield text(parts);
}

function check(length: number, maxBytes: number): void {
  if (length > maxBytes) throw new LineTooLongError(`a line of more than ${maxBytes} bytes`);
}

function text(parts: Uint8Array[], last?: Uint8Array): string {
  const all = last ? [...parts, last] : parts;
  const [only] = all;
  const bytes = all.length === 1 && only ? Buffer.from(only.buffer, only.byteOffset, only.length) : Buffer.concat(all);
  return bytes.toString("utf8");
}
