import { blockSize, hasContent, parseHeader, TarError, type TarHeader } from "./header.ts";
import { type PaxRecord, parsePax, paxValue } from "./pax.ts";

/** Longest extended header (pax or GNU long name), bytes. */
export const maxExtendedHeader = 1 << 20;
/** Most extension blocks of an old GNU sparse file: 21 holes each. */
const maxSparseBlocks = 4096;
/** Most extended headers before one entry: pax, a long name and a long link are three. */
const maxExtendedHeaders = 16;

export type TarEvent =
  | { type: "entry"; entry: TarEntry }
  /** Content of the entry before; a view, not a copy. */
  | { type: "data"; bytes: Buffer };

export interface TarEntry {
  /** Extended headers are already worked in: names and size are the real ones. */
  header: TarHeader;
  /** The extended header's records, without path, linkpath and size. */
  pax: PaxRecord[];
  /** The header block as it was, with a sparse file's extension blocks behind it. */
  raw: Buffer;
}

type State = "header" | "sparse" | "content" | "padding" | "end";

/**
 * Takes a tar archive apart: ustar, pax, GNU long names, GNU sparse files. Bytes in, events out; no I/O.
 * Global pax headers are dropped, as containerd does. What follows the archive's end is ignored.
 */
export class TarDecoder {
  #pending: Buffer = Buffer.alloc(0);
  #state: State = "header";
  #left = 0;
  #padding = 0;
  #zeroBlocks = 0;
  #entry: TarEntry | undefined;
  #sparse: Buffer[] = [];
  /** The body of an extended header that is being collected; undefined while an ordinary entry is read. */
  #extended: { type: string; body: Buffer; filled: number } | undefined;
  #next: { pax: PaxRecord[]; longName?: string; longLink?: string } = { pax: [] };
  #extendedHeaders = 0;

  /** Whether the archive's own end was seen. */
  get ended(): boolean {
    return this.#state === "end";
  }

  /** Throws TarError where the archive is malformed, or an extended header is longer than 1 MiB. */
  *push(chunk: Uint8Array): Generator<TarEvent> {
    let rest = view(chunk);
    while (rest.length > 0 && this.#state !== "end") {
      if (this.#state === "content") {
        const bytes = rest.subarray(0, this.#left);
        rest = rest.subarray(bytes.length);
        this.#left -= bytes.length;
        if (this.#extended) this.#extended.filled += bytes.copy(this.#extended.body, this.#extended.filled);
        else yield { type: "data", bytes };
        if (this.#left === 0) this.#contentEnded();
      } else if (this.#state === "padding") {
        const skipped = Math.min(this.#padding, rest.length);
        this.#padding -= skipped;
        rest = rest.subarray(skipped);
        if (this.#padding === 0) this.#state = "header";
      } else {
        const missing = blockSize - this.#pending.length;
        const block = Buffer.concat([this.#pending, rest.subarray(0, missing)]);
        rest = rest.subarray(missing);
        this.#pending = block.length < blockSize ? block : Buffer.alloc(0);
        if (block.length === blockSize) yield* this.#block(block);
      }
    }
  }

  /** To be called at the end of the input. Throws TarError when it ended inside an entry. */
  finish(): void {
    const whole = this.#state === "end" || (this.#state === "header" && this.#pending.length === 0);
    if (!whole || this.#next.pax.length > 0) throw new TarError("tar archive is cut short: unexpected EOF");
  }

  *#block(block: Buffer): Generator<TarEvent> {
    if (this.#state === "sparse") {
      this.#sparse.push(block);
      if (this.#sparse.length > maxSparseBlocks) throw new TarError("sparse file has too many holes");
      if (block[504] === 0) yield* this.#begin();
      return;
    }
    const header = parseHeader(block);
    if (!header) {
      if (++this.#zeroBlocks === 2) this.#state = "end";
      return;
    }
    this.#zeroBlocks = 0;
    if (["x", "g", "L", "K"].includes(header.type)) {
      if (header.size > maxExtendedHeader) throw new TarError("extended tar header is longer than 1 MiB");
      if (++this.#extendedHeaders > maxExtendedHeaders) throw new TarError("too many extended tar headers in a row");
      this.#extended = { type: header.type, body: Buffer.alloc(header.size), filled: 0 };
      this.#content(header.size);
      return;
    }
    this.#extendedHeaders = 0;
    this.#entry = this.#settle(header, block);
    if (header.type === "S" && block[482] !== 0) this.#state = "sparse";
    else yield* this.#begin();
  }

  *#begin(): Generator<TarEvent> {
    const entry = this.#entry;
    if (!entry) return;
    entry.raw = Buffer.concat([entry.raw, ...this.#sparse]);
    this.#sparse = [];
    yield { type: "entry", entry };
    this.#content(entry.header.size);
  }

  #content(size: number): void {
    this.#left = size;
    this.#padding = (blockSize - (size % blockSize)) % blockSize;
    this.#state = "content";
    if (size === 0) this.#contentEnded();
  }

  #contentEnded(): void {
    this.#state = this.#padding > 0 ? "padding" : "header";
    const extended = this.#extended;
    if (!extended) return;
    this.#extended = undefined;
    const { body } = extended;
    if (extended.type === "x") this.#next.pax = parsePax(body);
    else if (extended.type === "L") this.#next.longName = untilNul(body);
    else if (extended.type === "K") this.#next.longLink = untilNul(body);
  }

  /** Works the extended headers that came before into the header. */
  #settle(header: TarHeader, raw: Buffer): TarEntry {
    const { pax, longName, longLink } = this.#next;
    this.#next = { pax: [] };
    const size = paxValue(pax, "size");
    if (size !== undefined && !/^[0-9]{1,15}$/.test(size)) throw new TarError("tar archive has a wrong size record");
    return {
      header: {
        ...header,
        name: paxValue(pax, "GNU.sparse.name") ?? paxValue(pax, "path") ?? longName ?? header.name,
        linkname: paxValue(pax, "linkpath") ?? longLink ?? header.linkname,
        size: hasContent(header.type) ? Number(size ?? header.size) : 0,
      },
      pax: pax.filter(([key]) => key !== "path" && key !== "linkpath" && key !== "size"),
      raw,
    };
  }
}

function view(chunk: Uint8Array): Buffer {
  return Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
}

function untilNul(body: Buffer): string {
  const end = body.indexOf(0);
  return body.toString("latin1", 0, end < 0 ? body.length : end);
}
