import { ControlOpcode, Opcode } from "./frame.ts";
import { unmask } from "./mask.ts";

/** What takes the frames. */
export interface FrameTaker {
  /** Must frames be masked? Those of clients must. */
  masked: boolean;
  /** Bytes of a frame, at most. */
  maxPayload: number;
  /** A piece of a large message of a channel, as it came; undefined where messages are wanted whole. True when it has done with the memory. */
  piece(): ((channel: number, bytes: Buffer) => boolean) | undefined;
  /** All that is not large, and all that is wrong, for ws to read and to judge. The bytes are its own. */
  forward(bytes: Buffer): void;
  /** A large message is complete. */
  ended(): void;
}

/** Bytes of a payload from which on it is large. */
const largeBytes = 4 * 1024;
const known = new Set<number>([0, Opcode.text, Opcode.binary, ...Object.values(ControlOpcode)]);

/**
 * Stands before ws and takes the large messages out, which ws would copy together from the pieces in which they come. Only a binary
 * message in one frame is taken, with nothing wrong about it; what becomes of any other byte is ws's to say.
 *
 * Source: RFC 6455, section 5.2 and 5.3
 */
export class LargeFrames {
  readonly #taker: FrameTaker;
  readonly #header = Buffer.alloc(14);
  #headerBytes = 0;
  /** Of the frame under way. */
  #remaining = 0;
  #opcode = 0;
  /** The frame under way is ours, and how much of it has come. */
  #piece: ((channel: number, bytes: Buffer) => boolean) | undefined;
  #position = 0;
  #channel = 0;
  /** A message in several frames is under way. */
  #fragmented = false;
  #over: "ws's" | "closed" | undefined;

  constructor(taker: FrameTaker) {
    this.#taker = taker;
  }

  /** Nothing is forwarded any more. */
  stop(): void {
    this.#over = "closed";
  }

  /** True when nothing of the chunk is in use any more. It is unmasked in place. */
  push(chunk: Buffer): boolean {
    let done = true;
    for (let rest = chunk; rest.byteLength > 0 && this.#over !== "closed"; ) {
      if (this.#over) return this.#forward(rest) && done;
      if (this.#remaining === 0) {
        rest = rest.subarray(this.#takeHeader(rest));
        continue;
      }
      const bytes = rest.subarray(0, this.#remaining);
      this.#remaining -= bytes.byteLength;
      rest = rest.subarray(bytes.byteLength);
      done = (this.#piece ? this.#take(this.#piece, bytes) : this.#forward(bytes)) && done;
      if (this.#remaining === 0) this.#frameEnd();
    }
    return done;
  }

  /** Bytes that belonged to the header. */
  #takeHeader(bytes: Buffer): number {
    let taken = 0;
    for (let size = this.#headerSize(); this.#headerBytes < size; size = this.#headerSize()) {
      const copied = bytes.copy(this.#header, this.#headerBytes, taken, taken + size - this.#headerBytes);
      if (copied === 0) return taken;
      taken += copied;
      this.#headerBytes += copied;
    }
    const header = this.#header.subarray(0, this.#headerBytes);
    this.#headerBytes = 0;
    this.#begin(header);
    return taken;
  }

  #headerSize(): number {
    if (this.#headerBytes < 2) return 2;
    const second = this.#header[1] ?? 0;
    const length = second & 0x7f;
    return 2 + (length === 126 ? 2 : length === 127 ? 8 : 0) + (second & 0x80 ? 4 : 0);
  }

  #begin(header: Buffer) {
    const first = header[0] ?? 0;
    const masked = ((header[1] ?? 0) & 0x80) !== 0;
    const length = lengthOf(header);
    const fin = (first & 0x80) !== 0;
    this.#opcode = first & 0x0f;
    this.#remaining = length;
    const whole = this.#opcode === Opcode.binary && fin && !this.#fragmented;
    const wrong =
      (first & 0x70) !== 0 ||
      !known.has(this.#opcode) ||
      masked !== this.#taker.masked ||
      length > this.#taker.maxPayload;
    this.#piece = !wrong && whole && length >= largeBytes ? this.#taker.piece() : undefined;
    if (this.#piece) {
      this.#position = 0;
      return;
    }
    if (wrong) this.#over = "ws's";
    if (this.#opcode < ControlOpcode.close) this.#fragmented = !fin;
    this.#forward(header);
    if (length === 0) this.#frameEnd();
  }

  #frameEnd() {
    if (this.#piece) this.#taker.ended();
    else if (this.#opcode === ControlOpcode.close) this.stop();
  }

  #take(piece: (channel: number, bytes: Buffer) => boolean, bytes: Buffer): boolean {
    if (this.#taker.masked) unmask(bytes, this.#header.subarray(maskOffset(this.#header)), this.#position);
    const first = this.#position === 0;
    this.#position += bytes.byteLength;
    if (first) this.#channel = bytes[0] ?? 0;
    const data = first ? bytes.subarray(1) : bytes;
    return data.byteLength === 0 || piece(this.#channel, data);
  }

  /** What is small beside the buffer it is in is copied: ws may keep it for as long as a message is under way, and the whole buffer with it. */
  #forward(bytes: Buffer): boolean {
    const small = bytes.byteLength * 2 < bytes.buffer.byteLength;
    this.#taker.forward(small ? Buffer.from(bytes) : bytes);
    return small;
  }
}

function lengthOf(header: Buffer): number {
  const length = (header[1] ?? 0) & 0x7f;
  if (length === 126) return header.readUInt16BE(2);
  if (length === 127) return header.readUInt32BE(2) * 2 ** 32 + header.readUInt32BE(6);
  return length;
}

function maskOffset(header: Buffer): number {
  const length = (header[1] ?? 0) & 0x7f;
  return length === 126 ? 4 : length === 127 ? 10 : 2;
}
