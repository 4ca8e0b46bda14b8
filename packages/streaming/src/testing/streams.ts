import { type Duplex, duplexPair } from "node:stream";
import type { ByteSink, ByteSource } from "../bytes.ts";

/** Two connected streams, without a network. Half-open is allowed, as between sockets. */
export function connectedPair(): [Duplex, Duplex] {
  return duplexPair({ allowHalfOpen: true });
}

/** A sink that takes a chunk only when it is told to: a reader as slow as the test wants. */
export function slowSink(): ByteSink & { readonly taken: number; readonly closed: boolean; take(): void } {
  const waiting: (() => void)[] = [];
  let taken = 0;
  let closed = false;
  return {
    get taken() {
      return taken;
    },
    get closed() {
      return closed;
    },
    take: () => waiting.shift()?.(),
    async write(chunk) {
      await new Promise<void>((resolve) => waiting.push(resolve));
      taken += chunk.byteLength;
    },
    async close() {
      closed = true;
    },
    async abort() {
      closed = true;
    },
  };
}

/** All of a source as one buffer. */
export async function collect(source: ByteSource): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return Buffer.concat(chunks);
}
