/** Bytes in order; the end of the iteration is EOF. Node and web readables are one already. */
export type ByteSource = AsyncIterable<Uint8Array>;

/** Where bytes go. */
export interface ByteSink {
  /** Resolves when the sink has taken the chunk. Awaiting it is the backpressure. */
  write(chunk: Uint8Array): Promise<void>;
  /** Half-close: no more bytes in this direction. */
  close(): Promise<void>;
  /** Gives up this direction; the peer sees a reset. */
  abort(reason: unknown): Promise<void>;
}

/** Moves all of `from` into `to` and half-closes it. Resolves with the number of bytes moved. */
export async function copy(from: ByteSource, to: ByteSink): Promise<number> {
  let moved = 0;
  try {
    for await (const chunk of from) {
      await to.write(chunk);
      moved += chunk.byteLength;
    }
  } catch (cause) {
    await to.abort(cause);
    throw cause;
  }
  await to.close();
  return moved;
}

/** Takes everything and keeps nothing. */
export const discard: ByteSink = {
  write: async () => {},
  close: async () => {},
  abort: async () => {},
};
