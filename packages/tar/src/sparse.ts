import { blockSize, TarError } from "./header.ts";
import { type PaxRecord, paxValue } from "./pax.ts";

/** What counts as a hole: pages of zeros, or what a chunk has of one, bytes. */
export const holeSize = 4096;
/** Longest map of a sparse file, bytes of its text: some 50,000 pieces. */
const maxMap = 1 << 20;
const zeros = Buffer.alloc(holeSize);

/** A stretch of a file that holds something. */
export interface Extent {
  offset: number;
  length: number;
}

/**
 * The stretches of a chunk that are not pages of zeros. `offset` is where in its file the chunk lies; theirs are too.
 */
export function* extents(chunk: Buffer, offset: number): Generator<Extent> {
  let start = -1;
  for (let here = 0; here < chunk.length; ) {
    const next = Math.min(chunk.length, here + holeSize - ((offset + here) % holeSize));
    const page = chunk.subarray(here, next);
    const empty = page[0] === 0 && page.equals(page.length === holeSize ? zeros : zeros.subarray(0, page.length));
    if (empty && start >= 0) {
      yield { offset: offset + start, length: here - start };
      start = -1;
    } else if (!empty && start < 0) start = here;
    here = next;
  }
  if (start >= 0) yield { offset: offset + start, length: chunk.length - start };
}

/** Collects extents into a map, those that touch as one. Undefined once it would be too long for an archive. */
export class SparseMap {
  readonly extents: Extent[] = [];
  #bytes = 0;

  /** False when there are too many. */
  add({ offset, length }: Extent): boolean {
    const last = this.extents.at(-1);
    if (last && last.offset + last.length === offset) last.length += length;
    else {
      this.extents.push({ offset, length });
      this.#bytes += 32;
    }
    return this.#bytes < maxMap;
  }

  /** The map as it stands before the data: GNU's format 1.0, in whole blocks. */
  encode(): Buffer {
    const numbers = [this.extents.length, ...this.extents.flatMap(({ offset, length }) => [offset, length])];
    const text = numbers.map((number) => `${number}\n`).join("");
    return Buffer.concat([Buffer.from(text), Buffer.alloc((blockSize - (text.length % blockSize)) % blockSize)]);
  }

  get dataLength(): number {
    return this.extents.reduce((total, { length }) => total + length, 0);
  }
}

/** The records of a sparse file's pax header. Source: GNU tar manual, "PAX Format, Version 1.0" */
export function sparseRecords(name: string, realSize: number): PaxRecord[] {
  return [
    ["GNU.sparse.major", "1"],
    ["GNU.sparse.minor", "0"],
    ["GNU.sparse.name", name],
    ["GNU.sparse.realsize", String(realSize)],
  ];
}

/** Puts a sparse file's content where it belongs. Bytes in, placed bytes out. */
export class SparseReader {
  readonly realSize: number;
  readonly #numbers: number[] = [];
  #digits = "";
  #mapBytes = 0;
  /** Of the padding after the map, bytes; undefined while the map is read. */
  #padding: number | undefined;
  #current = 1;
  #done = 0;

  /** Throws TarError for another format than 1.0. */
  constructor(pax: readonly PaxRecord[]) {
    const [major, minor, size] = ["major", "minor", "realsize"].map((key) => paxValue(pax, `GNU.sparse.${key}`));
    if (major !== "1" || minor !== "0" || !/^[0-9]{1,15}$/.test(size ?? "")) {
      throw new TarError("sparse file of a format that is not supported");
    }
    this.realSize = Number(size);
  }

  /** Views, not copies. Throws TarError when the map is malformed or leads out of the file. */
  *push(chunk: Buffer): Generator<{ offset: number; bytes: Buffer }> {
    let rest = this.#padding === undefined ? this.#readMap(chunk) : chunk;
    const skipped = Math.min(this.#padding ?? 0, rest.length);
    if (this.#padding) this.#padding -= skipped;
    rest = rest.subarray(skipped);
    while (rest.length > 0) {
      const [offset, length] = [this.#numbers[this.#current], this.#numbers[this.#current + 1]];
      if (offset === undefined || length === undefined) throw new TarError("sparse file has more data than its map");
      const bytes = rest.subarray(0, length - this.#done);
      if (bytes.length > 0) yield { offset: offset + this.#done, bytes };
      this.#done += bytes.length;
      rest = rest.subarray(bytes.length);
      if (this.#done < length) return;
      this.#current += 2;
      this.#done = 0;
    }
  }

  /** Decimal numbers, each with its newline: how many pieces, then each one's offset and length. */
  #readMap(chunk: Buffer): Buffer {
    for (let here = 0; here < chunk.length; here++) {
      const byte = chunk[here] ?? 0;
      if (++this.#mapBytes > maxMap) throw new TarError("sparse file's map is longer than 1 MiB");
      if (byte >= 0x30 && byte <= 0x39 && this.#digits.length < 15) {
        this.#digits += String.fromCharCode(byte);
        continue;
      }
      if (byte !== 0x0a || this.#digits === "") throw new TarError("sparse file has a malformed map");
      this.#numbers.push(Number(this.#digits));
      this.#digits = "";
      const [count = 0] = this.#numbers;
      if (this.#numbers.length < 1 + 2 * count) continue;
      this.#check();
      this.#padding = (blockSize - (this.#mapBytes % blockSize)) % blockSize;
      return chunk.subarray(here + 1);
    }
    return chunk.subarray(chunk.length);
  }

  #check(): void {
    let least = 0;
    for (let i = 1; i < this.#numbers.length; i += 2) {
      const [offset = 0, length = 0] = this.#numbers.slice(i, i + 2);
      if (offset < least || offset + length > this.realSize) {
        throw new TarError("sparse file's map leads out of the file");
      }
      least = offset + length;
    }
  }
}
