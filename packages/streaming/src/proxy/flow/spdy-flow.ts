import { SlabWriter } from "../../slabs.ts";
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
 */
export class SpdyFlow implements Flow {
  readonly #to: Transport;
  readonly #out: SlabWriter;
  readonly #watcher: SpdyWatcher;
  /** Of a frame that passes whole, or the head of any. */
  #partial: Buffer = Buffer.alloc(headBytes);
  #partialBytes = 0;
  /** The data frame under way. */
  #data: { streamId: number; flags: number; remaining: number } | undefined;
  /** Its present piece: the head, on its way out, and the bytes behind that, at least one. */
  #piece: { head: Buffer; bytes: number } | undefined;
  /** Bytes of a control frame that passes as it comes. */
  #unread = 0;

  constructor({ to, written }: FlowTarget, watcher: SpdyWatcher) {
    this.#to = to;
    this.#out = new SlabWriter({ to, written, writing: () => this.#cutPiece() });
    this.#watcher = watcher;
  }

  push(chunk: Buffer): boolean {
    const fresh = this.#out.isEmpty;
    let busy = false;
    for (let offset = 0; offset < chunk.byteLength; ) {
      if (this.#data) {
        offset += this.#takeData(this.#data, chunk, offset);
        busy = true;
      } else if (this.#unread > 0) {
        const rest = chunk.subarray(offset, offset + this.#unread);
        this.#out.put(rest);
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
    if (fresh) this.#out.flushFew();
    return busy;
  }

  flush(): void {
    this.#out.flush();
  }

  insert(frames: readonly Uint8Array[]): boolean {
    if (this.#unread > 0) return false;
    this.flush();
    this.#to.write(frames);
    return true;
  }

  /** The piece under way ends here; the next one gets a head of its own. */
  #cutPiece() {
    this.#piece?.head.writeUInt32BE(this.#piece.bytes, 4);
    this.#piece = undefined;
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
      this.#out.put(frame);
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
    if (passes) this.#out.put(frame);
    return !idle;
  }

  #wholeData(streamId: number, frame: Buffer): boolean {
    this.#out.put(frame);
    this.#watcher.data(streamId, frame.byteLength - headBytes, ((frame[4] ?? 0) & 1) === 1);
    return true;
  }

  #takeData(data: { streamId: number; flags: number; remaining: number }, chunk: Buffer, offset: number): number {
    if (!this.#out.hasRoom) this.#out.flush();
    this.#piece ??= this.#beginPiece(data);
    const copied = this.#out.fill(chunk, offset, offset + data.remaining);
    this.#piece.bytes += copied;
    data.remaining -= copied;
    const isEnd = data.remaining === 0;
    if (isEnd) {
      this.#data = undefined;
      this.#piece = undefined;
    }
    this.#watcher.data(data.streamId, copied, isEnd && (data.flags & 1) === 1);
    return copied;
  }

  #beginPiece({ streamId, flags, remaining }: { streamId: number; flags: number; remaining: number }) {
    const head = this.#out.claim(headBytes, 1);
    head.writeUInt32BE(streamId, 0);
    head.writeUInt32BE(((flags << 24) | remaining) >>> 0, 4);
    return { head, bytes: 0 };
  }
}
