import { createZstdDecompress } from "node:zlib";
import type { ByteSource } from "@hawser/streaming";
import { through } from "./through.ts";

const frameMagic = 0xfd2fb528;
const skippableMagic = 0x184d2a50;
/** Sizes by the flags of a frame's descriptor byte. */
const dictionarySize = [0, 1, 2, 4];
const contentSizeSize = [0, 2, 4, 8];

type State = "magic" | "skipSize" | "skip" | "descriptor" | "header" | "blockHeader" | "block" | "checksum";

/** Does a stream that begins with these four bytes hold zstd frames? */
export function isZstd(magic: Buffer): boolean {
  return magic.length >= 4 && (magic.readUInt32LE() === frameMagic || isSkippable(magic.readUInt32LE()));
}

/**
 * Finds the borders of zstd frames, without decompressing. Node's own decompressor stops silently behind the first
 * frame, while pzstd, zstd:chunked and concatenated layers have many, and skippable ones between them.
 *
 * Source: RFC 8878, section 3.1.
 */
export class ZstdFrames {
  #state: State = "magic";
  #need = 4;
  #held = Buffer.alloc(0);
  #checksum = false;
  #last = false;

  /** Pieces of frames, and after each frame's last piece an "end". Throws for bytes that are no zstd. */
  *push(chunk: Uint8Array): Generator<Buffer | "end"> {
    let rest = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    while (rest.length > 0) {
      if (this.#state === "skip" || this.#state === "header" || this.#state === "block" || this.#state === "checksum") {
        const piece = rest.subarray(0, this.#need);
        rest = rest.subarray(piece.length);
        this.#need -= piece.length;
        if (this.#state !== "skip") yield piece;
        if (this.#need === 0 && this.#passed()) yield "end";
        continue;
      }
      const missing = this.#need - this.#held.length;
      this.#held = Buffer.concat([this.#held, rest.subarray(0, missing)]);
      rest = rest.subarray(missing);
      if (this.#held.length < this.#need) return;
      const word = this.#held;
      this.#held = Buffer.alloc(0);
      const inFrame = this.#read(word);
      if (inFrame) yield word;
      if (this.#need === 0 && this.#passed()) yield "end";
    }
  }

  /** To be called at the end of the input. Throws when it ended inside a frame. */
  finish(): void {
    if (this.#state !== "magic" || this.#held.length > 0) throw new Error("zstd: unexpected EOF");
  }

  /** Understands a fixed-size field. True when it belongs to a frame that is passed on. */
  #read(word: Buffer): boolean {
    switch (this.#state) {
      case "magic": {
        const magic = word.readUInt32LE();
        if (isSkippable(magic)) {
          this.#next("skipSize", 4);
          return false;
        }
        if (magic !== frameMagic) throw new Error("zstd: invalid magic number");
        this.#next("descriptor", 1);
        return true;
      }
      case "skipSize":
        this.#next("skip", word.readUInt32LE());
        return false;
      case "descriptor": {
        const flags = word.readUInt8();
        const single = (flags & 0x20) !== 0;
        this.#checksum = (flags & 0x04) !== 0;
        const content = contentSizeSize[flags >> 6] || (single ? 1 : 0);
        this.#next("header", (single ? 0 : 1) + (dictionarySize[flags & 3] ?? 0) + content);
        return true;
      }
      default: {
        const header = word.readUIntLE(0, 3);
        this.#last = (header & 1) !== 0;
        const type = (header >> 1) & 3;
        if (type === 3) throw new Error("zstd: reserved block type");
        this.#next("block", type === 1 ? 1 : header >> 3); // a run-length block stores one byte
        return true;
      }
    }
  }

  /** What was needed has passed: moves on. True when a frame is complete. */
  #passed(): boolean {
    if (this.#state === "header" || (this.#state === "block" && !this.#last)) {
      this.#next("blockHeader", 3);
      return false;
    }
    if (this.#state === "block" && this.#checksum) {
      this.#next("checksum", 4);
      return false;
    }
    const complete = this.#state !== "skip";
    this.#next("magic", 4);
    return complete;
  }

  #next(state: State, need: number): void {
    this.#state = state;
    this.#need = need;
  }
}

/** Decompresses a stream of zstd frames, one after the other, into pieces of `chunkSize` bytes at most. */
export async function* decompressZstd(source: ByteSource, chunkSize: number): AsyncGenerator<Uint8Array> {
  const pieces = pieceSource(source);
  for (let piece = await pieces.next(); !piece.done; piece = await pieces.next()) {
    const first = piece.value;
    const frame = async function* () {
      for (let value: Buffer | "end" = first; value !== "end"; ) {
        yield value;
        const next = await pieces.next();
        if (next.done) return;
        value = next.value;
      }
    };
    yield* through(createZstdDecompress({ chunkSize }), frame());
  }
}

async function* pieceSource(source: ByteSource): AsyncGenerator<Buffer | "end"> {
  const frames = new ZstdFrames();
  for await (const chunk of source) yield* frames.push(chunk);
  frames.finish();
}

function isSkippable(magic: number): boolean {
  return (magic & 0xfffffff0) >>> 0 === skippableMagic;
}
