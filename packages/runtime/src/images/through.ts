import { type Duplex, Readable } from "node:stream";
import type { ByteSource } from "@hawser/streaming";

/** What a decompressor makes of some bytes. Its errors and the source's come out of the iteration; leaving it closes both. */
export async function* through(decoder: Duplex, source: ByteSource): AsyncGenerator<Uint8Array> {
  const input = Readable.from(source, { objectMode: false });
  input.on("error", (error) => decoder.destroy(error));
  input.pipe(decoder);
  try {
    yield* decoder;
  } finally {
    input.destroy();
    decoder.destroy();
  }
}
