/**
 * Go's gRPC clients name the socket's path as their `:authority` (`/run/hawser.sock`): every kubelet and crictl up to
 * 1.27 does, and Go's own servers do not mind. Node's HTTP/2 refuses the request, since a slash is no part of an
 * authority, and cannot be told not to look. So the path's slashes become dots before Node sees them.
 */

/** The client's preface: before the first frame. Source: RFC 9113, 3.4 */
const prefaceBytes = 24;
const frameHeaderBytes = 9;
const HEADERS = 1;
const flagPadded = 0x8;
const flagPriority = 0x20;
/** A frame larger than this is refused by the server whose bytes these are: not for us to keep. */
const maxFrameBytes = 16_384;
/** Index of `:authority` in HPACK's static table. Source: RFC 7541, appendix A */
const authorityIndex = 1;

/**
 * Reads the bytes of a client's HTTP/2 connection and makes its authorities such that Node takes them. Lengths stay as
 * they are, encoded and decoded, so that both ends' header tables do.
 */
export class AuthorityFilter {
  /** Bytes that are none of ours: the preface, and the payloads of other frames. */
  #skip = prefaceBytes;
  /** The beginning of a frame whose end has not come: at most a HEADERS frame. */
  #held: Buffer | undefined;

  /** Takes the next bytes, which it may change in place. Returns those that can go on: perhaps none. */
  push(chunk: Buffer): Buffer {
    const data = this.#held ? Buffer.concat([this.#held, chunk]) : chunk;
    this.#held = undefined;
    let at = 0;
    while (at < data.length) {
      if (this.#skip > 0) {
        const skipped = Math.min(this.#skip, data.length - at);
        this.#skip -= skipped;
        at += skipped;
        continue;
      }
      if (data.length - at < frameHeaderBytes) break;
      const length = data.readUIntBE(at, 3);
      const end = at + frameHeaderBytes + length;
      if (data[at + 3] !== HEADERS || length > maxFrameBytes) {
        this.#skip = frameHeaderBytes + length;
        continue;
      }
      if (data.length < end) break;
      cleanAuthority(data.subarray(at + frameHeaderBytes, end), data[at + 4] ?? 0);
      at = end;
    }
    if (at < data.length) this.#held = Buffer.from(data.subarray(at));
    return data.subarray(0, at);
  }
}

/** Changes the authority in a HEADERS frame's payload. What it cannot read it leaves as it is: Node will refuse it. */
function cleanAuthority(payload: Buffer, flags: number): void {
  const block = new HeaderBlock(payload, (flags & flagPadded ? 1 : 0) + (flags & flagPriority ? 5 : 0));
  while (!block.ended) {
    const first = block.peek();
    if (first & 0x80) block.integer(7);
    else if ((first & 0xe0) === 0x20) block.integer(5);
    else {
      const name = block.integer(first & 0x40 ? 6 : 4);
      if (name === 0) block.string();
      const value = block.string();
      if (name === authorityIndex) replaceSlashes(value);
    }
  }
}

/** Walks the fields of an HPACK block. Past its end everything is empty. Source: RFC 7541, sections 5 and 6 */
class HeaderBlock {
  readonly #bytes: Buffer;
  #at: number;

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes;
    this.#at = at;
  }

  get ended(): boolean {
    return this.#at >= this.#bytes.length;
  }

  peek(): number {
    return this.#bytes[this.#at] ?? 0;
  }

  integer(prefixBits: number): number {
    const mask = 2 ** prefixBits - 1;
    let value = this.#next() & mask;
    if (value < mask) return value;
    for (let shift = 0; shift <= 21; shift += 7) {
      const byte = this.#next();
      value += (byte & 0x7f) << shift;
      if (!(byte & 0x80)) return value;
    }
    this.#at = this.#bytes.length; // longer than any frame
    return value;
  }

  string(): { huffman: boolean; bytes: Buffer } {
    const huffman = (this.peek() & 0x80) !== 0;
    const length = this.integer(7);
    const bytes = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    return { huffman, bytes };
  }

  #next(): number {
    return this.#bytes[this.#at++] ?? 0;
  }
}

/** HPACK's code is canonical: by length in bits, the first code and how many there are. Source: RFC 7541, appendix B */
const codes = [
  { bits: 5, first: 0x0, count: 10 },
  { bits: 6, first: 0x14, count: 26 },
  { bits: 7, first: 0x5c, count: 32 },
  { bits: 8, first: 0xf8, count: 6 },
  { bits: 10, first: 0x3f8, count: 5 },
  { bits: 11, first: 0x7fa, count: 3 },
  { bits: 12, first: 0xffa, count: 2 },
  { bits: 13, first: 0x1ff8, count: 6 },
];
/** Neighbours, six bits each. */
const slashCode = 0x18;
const dotCode = 0x17;

function replaceSlashes({ huffman, bytes }: { huffman: boolean; bytes: Buffer }): void {
  if (!huffman) {
    for (const [index, byte] of bytes.entries()) if (byte === 0x2f) bytes[index] = 0x2e;
    return;
  }
  for (let at = 0; ; ) {
    const code = codes.find(({ bits, first, count }) => {
      const found = bitsAt(bytes, at, bits);
      return found !== undefined && found >= first && found < first + count;
    });
    if (!code) return; // the padding at the end, or a character that no path of ours has
    if (code.bits === 6 && bitsAt(bytes, at, 6) === slashCode) {
      for (let bit = 0; bit < 6; bit++) setBit(bytes, at + bit, (dotCode >> (5 - bit)) & 1);
    }
    at += code.bits;
  }
}

/** Some bits as a number; undefined past the end. */
function bitsAt(bytes: Buffer, at: number, count: number): number | undefined {
  if (at + count > bytes.length * 8) return undefined;
  let value = 0;
  for (let bit = at; bit < at + count; bit++) value = (value << 1) | (((bytes[bit >> 3] ?? 0) >> (7 - (bit & 7))) & 1);
  return value;
}

function setBit(bytes: Buffer, at: number, value: number): void {
  const mask = 0x80 >> (at & 7);
  const byte = bytes[at >> 3] ?? 0;
  bytes[at >> 3] = value ? byte | mask : byte & ~mask;
}
