import { slabBytes, smallBytes, takeSlab, writeSlab } from "../../slabs.ts";
import { maxControlLength } from "../../spdy/decode.ts";
import type { Transport } from "../../transport.ts";
import type { Flow, FlowTarget } from "./flow.ts";

const headBytes = 8;

/** What a flow tells of the frames that pass. */
export interface SpdyWatcher {
  /** A control frame, whole. False takes it out. `idle`, where it is true, is no use of the session. */
  control(frame: Buffer): { passes: boolean; idle: boolean };
  /** A data frame is passed on, of which `bytes` are there, its end with `fin`. */
  data(streamId: number, bytes: number, fin: boolean): void;
  /** Whether data of this stream is passed on in whole frames, of up to 32 KiB. */
  whole(streamId: number): boolean;
}

/**
 * SPDY on its way through a hop. Of a data frame no more is ever promised than is there: it is cut into as many as it takes, one for each
 * write that it comes in, so that the other side is between two frames at any time. Control frames pass whole; one of more than 32 KiB, which
 * nobody takes, as it comes.
 *
 * Joins the chunks of one turn of the event loop into one write, as gather() does.
 */
export class SpdyFlow implements Flow {
  readonly #to: Transport;
  readonly #written: () => void;
  readonly #watcher: SpdyWatcher;
  #slab: Buffer | undefined;
  #used = 0;
  /** Of a frame that passes whole, or the head of any. */
  #partial: Buffer = Buffer.alloc(headBytes);
  #partialBytes = 0;
  /** The data frame under way. */
  #data: { streamId: number; flags: number; remaining: number } | undefined;
  /** Where the head of its present piece stands in the slab, with a byte of it at least behind. */
  #pieceAt: number | undefined;
  /** Bytes of a control frame that passes as it comes. */
  #unread = 0;

  constructor({ to, written }: FlowTarget, watcher: SpdyWatcher) {
    this.#to = to;
    this.#written = written;
    this.#watcher = watcher;
  }

  push(chunk: Buffer): boolean {
    const fresh = this.#slab === undefined;
    let busy = false;
    for (let offset = 0; offset < chunk.byteLength; ) {
      if (this.#data) {
        offset += this.#takeData(this.#data, chunk, offset);
        busy = true;
      } else if (this.#unread > 0) {
        const rest = chunk.subarray(offset, offset + this.#unread);
        this.#put(rest);
        this.#unread -= rest.byteLength;
        offset += rest.byteLength;
        busy = true;
      } else {
        const taken = chunk.copy(this.#partial, this.#partialBytes, offset);
        this.#partialBytes += taken;
        offset += taken;
        if (this.#partialBytes === this.#partial.byteLength) busy = this.#takePartial() || busy;
      }
    }
    if (fresh && this.#used <= smallBytes) this.flush();
    return busy;
  }

  flush(): void {
    const slab = this.#slab;
    if (!slab) return;
    this.#cutPiece(slab);
    const bytes = this.#used;
    this.#slab = undefined;
    this.#used = 0;
    writeSlab(this.#to, slab, bytes);
    this.#written();
  }

  insert(frames: readonly Uint8Array[]): boolean {
    if (this.#unread > 0) return false;
    this.flush();
    this.#to.write(frames);
    return true;
  }

  /** The piece under way ends here; the next one gets a head of its own. */
  #cutPiece(slab: Buffer) {
    if (this.#pieceAt === undefined) return;
    slab.writeUInt32BE(this.#used - this.#pieceAt - headBytes, this.#pieceAt + 4);
    this.#pieceAt = undefined;
  }

  /** A head, or a frame that passes whole, is there. True when it was use of the session. */
  #takePartial(): boolean {
    const frame = this.#partial;
    const first = frame.readUInt32BE(0);
    const length = frame.readUIntBE(5, 3);
    const isControl = first >= 0x8000_0000;
    if (frame.byteLength === headBytes + length) {
      this.#nextFrame();
      return isControl ? this.#control(frame) : this.#wholeData(first, frame);
    }
    if (length <= maxControlLength && (isControl || this.#watcher.whole(first))) {
      this.#partial = Buffer.allocUnsafeSlow(headBytes + length);
      frame.copy(this.#partial);
      return false;
    }
    this.#nextFrame();
    if (isControl) {
      this.#put(frame);
      this.#unread = length;
    } else {
      this.#data = { streamId: first, flags: frame[4] ?? 0, remaining: length };
    }
    return true;
  }

  #nextFrame() {
    if (this.#partial.byteLength > headBytes) this.#partial = Buffer.alloc(headBytes);
    this.#partialBytes = 0;
  }

  #control(frame: Buffer): boolean {
    const { passes, idle } = this.#watcher.control(frame);
    if (passes) this.#put(frame);
    return !idle;
  }

  #wholeData(streamId: number, frame: Buffer): boolean {
    this.#put(frame);
    this.#watcher.data(streamId, frame.byteLength - headBytes, ((frame[4] ?? 0) & 1) === 1);
    return true;
  }

  #takeData(data: { streamId: number; flags: number; remaining: number }, chunk: Buffer, offset: number): number {
    const slab = this.#room(this.#pieceAt === undefined ? headBytes + 1 : 1);
    if (this.#pieceAt === undefined) {
      this.#pieceAt = this.#used;
      slab.writeUInt32BE(data.streamId, this.#used);
      slab.writeUInt32BE(((data.flags << 24) | data.remaining) >>> 0, this.#used + 4);
      this.#used += headBytes;
    }
    const copied = chunk.copy(slab, this.#used, offset, offset + data.remaining);
    this.#used += copied;
    data.remaining -= copied;
    const isEnd = data.remaining === 0;
    if (isEnd) {
      this.#data = undefined;
      this.#pieceAt = undefined;
    }
    this.#watcher.data(data.streamId, copied, isEnd && (data.flags & 1) === 1);
    return copied;
  }

  #put(bytes: Buffer) {
    for (let offset = 0; offset < bytes.byteLength; ) {
      const slab = this.#room(1);
      const copied = bytes.copy(slab, this.#used, offset);
      this.#used += copied;
      offset += copied;
    }
  }

  /** A slab that has so much room, written out before where there was none. */
  #room(bytes: number): Buffer {
    if (this.#slab && slabBytes - this.#used < bytes) this.flush();
    if (!this.#slab) {
      this.#slab = takeSlab();
      setImmediate(() => this.flush());
    }
    return this.#slab;
  }
}
