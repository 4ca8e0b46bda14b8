import { createGunzip } from "node:zlib";
import type { ByteSource } from "@hawser/streaming";
import { release } from "./lent.ts";
import { through } from "./through.ts";
import { decompressZstd, isZstd } from "./zstd.ts";

/** What a decompressor hands on at a time, bytes. Node's own 16 KiB take twice the processor time. */
const chunkSize = 256 * 1024;

type Compression = "gzip" | "zstd" | "none";

/**
 * Undoes gzip or zstd, told by the first bytes and not by the media type: registries and `docker save` mislabel both ways.
 * Errors of the source and of the decompressor come out of the iteration. With `lent` what it makes itself is the consumer's only
 * until the next is asked for.
 */
export async function* decompress(source: ByteSource, { lent = false } = {}): AsyncGenerator<Uint8Array> {
  const iterator = source[Symbol.asyncIterator]();
  const first: Uint8Array[] = [];
  let length = 0;
  while (length < 4) {
    const { value, done } = await iterator.next();
    if (done) break;
    first.push(value);
    length += value.length;
  }
  const all: AsyncIterable<Uint8Array> = {
    async *[Symbol.asyncIterator]() {
      yield* first;
      yield* { [Symbol.asyncIterator]: () => iterator };
    },
  };
  const compression = detect(Buffer.concat(first).subarray(0, 4));
  if (compression === "none") {
    yield* all;
    return;
  }
  const made = compression === "zstd" ? decompressZstd(all, chunkSize) : through(createGunzip({ chunkSize }), all);
  if (!lent) {
    yield* made;
    return;
  }
  for await (const chunk of made) {
    yield chunk;
    release(chunk);
  }
}

function detect(magic: Buffer): Compression {
  if (magic[0] === 0x1f && magic[1] === 0x8b) return "gzip";
  return isZstd(magic) ? "zstd" : "none";
}
