/** Takes bytes by calls. */
export interface ByteTaker {
  /** True when it has done with the memory at once; else the chunk is its own. Called only while there is room. */
  push(chunk: Uint8Array): boolean;
  /** Undefined when there is room; else what to wait for, however it settles. */
  room(): Promise<void> | undefined;
  /** It holds enough by itself: while it has no room, nothing more is read for it, and it is given up to 64 KiB that were read already. */
  readonly isQueue?: boolean;
  /** The end, or what the iteration would have thrown: one of them is called, once. */
  end(): void;
  fail(error: unknown): void;
}

/** Bytes in order; the end of the iteration is EOF, a throw is a loss. Node and web readables are one already. */
export interface ByteSource extends AsyncIterable<Uint8Array> {
  /** In place of an iteration, where present: without a promise and memory of its own for each chunk. */
  handTo?(taker: ByteTaker): void;
}

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
