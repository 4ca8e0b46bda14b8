/** Bytes in order; the end of the iteration is EOF, a throw is a loss. Node and web readables are one already. */
export type ByteSource = AsyncIterable<Uint8Array>;

/** Where bytes go. */
export interface ByteSink {
  /** Resolves when the sink has taken the chunk. Awaiting it is the backpressure. The chunk is the sink's from the call on: do not change it afterwards. */
  write(chunk: Uint8Array): Promise<void>;
  /** Bytes of what was written whose memory is still in use. At 0, right after a write(), its chunk may be changed again; unknown where absent. */
  readonly held?: number;
  /** Half-close: no more bytes in this direction. */
  close(): Promise<void>;
  /** Gives up this direction; the peer sees a reset. */
  abort(reason: unknown): Promise<void>;
}

/** Both directions of one conversation; each ends by itself. */
export interface ByteDuplex {
  readonly source: ByteSource;
  readonly sink: ByteSink;
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
  held: 0,
  write: async () => {},
  close: async () => {},
  abort: async () => {},
};
