import type { Readable } from "node:stream";
import { TLSSocket } from "node:tls";

/**
 * Takes a chunk, a view that is the taker's for the time of the call. True says that the taker has done with it, and the same
 * memory is read into again; else it is the taker's for good.
 */
export type ChunkTaker = (chunk: Buffer) => boolean;

/** Bytes of the first read; what fills its buffer whole is read in larger pieces from then on. So an idle stream costs little. */
const firstBytes = 4 * 1024;
/** Bytes of one read, at most; of TLS, which hands out no more at once, so that a chunk that is kept does not keep more than itself. */
const [mostBytes, mostOfTLS] = [64 * 1024, 16 * 1024];
/** A chunk of so few bytes is copied: its taker may keep it, and with it the whole buffer. */
const smallBytes = 1024;

/**
 * Reads a stream from its next byte on, into one buffer again and again where Node lets us: with sockets, pipes and TLS. Node's own way
 * makes an ArrayBuffer for each read (with TLS for each 16 KiB), and every 64 MiB of those make V8 go through its whole heap: half of the
 * processor time of a stream. `take` gets the chunks; pause() and resume() of the stream are obeyed as ever, except that TLS hands
 * out what it has decrypted already. The end, the failure and the close are the stream's events.
 *
 * Node has this in public (`onread`) for sockets that it connects, not for those that a server accepts. What it keeps it by is named
 * below; where that is missing, or the stream is another, chunks come by "data" events.
 *
 * Source: nodejs/node lib/net.js, lib/internal/stream_base_commons.js, v24
 */
export function readReused(stream: Readable, take: ChunkTaker): void {
  const onread = onreadOf(stream);
  if (onread) {
    const most = stream instanceof TLSSocket ? mostOfTLS : mostBytes;
    let buffer = Buffer.allocUnsafeSlow(firstBytes);
    onread.use(buffer, {
      callback(bytes) {
        const small = bytes <= smallBytes;
        const chunk = buffer.subarray(0, bytes);
        const done = take(small ? Buffer.from(chunk) : chunk) || small;
        const full = bytes === buffer.byteLength;
        // A chunk that is kept keeps all of its buffer: of those, the next is no larger than four such chunks need.
        const enough = done ? buffer.byteLength : Math.min(buffer.byteLength, Math.max(bytes * 4, firstBytes));
        const size = full ? Math.min(bytes * 4, most) : enough;
        if (!done || size !== buffer.byteLength) buffer = Buffer.allocUnsafeSlow(size);
        return true;
      },
      next: () => buffer,
    });
  }
  // What was read before this, and what comes where Node does not let us; it also makes the stream flow.
  stream.on("data", (chunk: Buffer) => void take(chunk));
}

interface Reading {
  /** False stops the reading. */
  callback(bytes: number): boolean;
  /** The buffer of the next read. */
  next(): Buffer;
}

interface Onread {
  use(buffer: Buffer, reading: Reading): void;
}

function onreadOf(stream: Readable): Onread | undefined {
  const { _handle: handle } = stream as Readable & { _handle?: { useUserBuffer?(buffer: Buffer): void } };
  if (typeof handle?.useUserBuffer !== "function") return undefined;
  const symbols = Object.getOwnPropertySymbols(stream);
  const keyOf = (name: string) => symbols.find(({ description }) => description === name);
  const [kBuffer, kBufferCb, kBufferGen] = ["kBuffer", "kBufferCb", "kBufferGen"].map(keyOf);
  if (!kBuffer || !kBufferCb || !kBufferGen) return undefined;
  const slots = stream as Readable & Record<symbol, unknown>;
  if (slots[kBuffer] !== null) return undefined; // read so already
  return {
    use(buffer, { callback, next }) {
      Object.assign(slots, { [kBuffer]: buffer, [kBufferCb]: callback, [kBufferGen]: next });
      handle.useUserBuffer?.(buffer);
    },
  };
}
