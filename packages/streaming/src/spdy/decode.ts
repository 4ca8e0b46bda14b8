import { ProtocolError } from "../errors.ts";
import { Flag, type Frame, FrameType, GoAwayStatus, version } from "./frame.ts";
import { HeaderDecoder } from "./headers.ts";

/** Bytes a control frame that we read may have. Others are skipped without being kept. */
export const maxControlLength = 32 * 1024;

type Control = { type: number; flags: number; length: number };

/**
 * Bytes in, frames out. Synchronous, and at most one control frame (32 KiB) is kept: data passes through in the pieces it comes in.
 * Throws ProtocolError; after that the decoder is of no use.
 */
export class FrameDecoder {
  readonly #headers = new HeaderDecoder();
  /** What was received of a frame header (8 bytes) or of a control frame's payload; as large as the whole. */
  #partial: Buffer | undefined;
  #received = 0;
  #control: Control | undefined;
  #data: { streamId: number; fin: boolean; remaining: number } | undefined;
  #skip = 0;

  *push(chunk: Buffer): Generator<Frame, void> {
    let offset = 0;
    while (true) {
      if (this.#data) {
        const bytes = chunk.subarray(offset, offset + this.#data.remaining);
        if (bytes.byteLength === 0 && this.#data.remaining > 0) return;
        offset += bytes.byteLength;
        yield this.#dataPiece(this.#data, bytes);
      } else if (this.#skip > 0) {
        if (offset === chunk.byteLength) return;
        const skipped = Math.min(this.#skip, chunk.byteLength - offset);
        this.#skip -= skipped;
        offset += skipped;
      } else {
        const wanted = this.#control ? this.#control.length : 8;
        const piece = chunk.subarray(offset, offset + wanted - this.#received);
        offset += piece.byteLength;
        const bytes = this.#assemble(piece, wanted);
        if (!bytes) return;
        if (!this.#control) {
          const ignored = this.#frameHeader(bytes);
          if (ignored) yield ignored;
        } else {
          const control = this.#control;
          this.#control = undefined;
          yield this.#controlFrame(control, bytes);
        }
      }
    }
  }

  /** The whole of what is wanted, once it is there. What is kept is a copy: the chunk belongs to the socket's reader, and may be large. */
  #assemble(piece: Buffer, wanted: number): Buffer | undefined {
    if (!this.#partial && piece.byteLength === wanted) return piece;
    if (piece.byteLength === 0) return undefined;
    this.#partial ??= Buffer.allocUnsafeSlow(wanted);
    piece.copy(this.#partial, this.#received);
    this.#received += piece.byteLength;
    if (this.#received < wanted) return undefined;
    const whole = this.#partial;
    this.#partial = undefined;
    this.#received = 0;
    return whole;
  }

  #dataPiece(data: { streamId: number; fin: boolean; remaining: number }, bytes: Uint8Array): Frame {
    data.remaining -= bytes.byteLength;
    const last = data.remaining === 0;
    if (last) this.#data = undefined;
    return { type: "data", streamId: data.streamId, bytes, fin: last && data.fin };
  }

  /** Decides what follows the eight bytes. */
  #frameHeader(bytes: Buffer): Frame | undefined {
    const first = bytes.readUInt32BE(0);
    const flags = bytes.readUInt8(4);
    const length = bytes.readUIntBE(5, 3);
    if (first < 0x8000_0000) {
      if (first === 0) throw protocolError("data frame on stream 0");
      this.#data = { streamId: first, fin: (flags & Flag.fin) !== 0, remaining: length };
      return undefined;
    }
    const frameVersion = (first >>> 16) & 0x7fff;
    if (frameVersion !== version) throw protocolError(`frame of SPDY version ${frameVersion}`);
    const type = first & 0xffff;
    if (!readTypes.has(type)) {
      this.#skip = length;
      return { type: "ignored", frameType: type };
    }
    if (length > maxControlLength)
      throw protocolError(`control frame of ${length} bytes, at most ${maxControlLength} are allowed`);
    this.#control = { type, flags, length };
    return undefined;
  }

  #controlFrame({ type, flags, length }: Control, bytes: Buffer): Frame {
    const least = leastLength.get(type) ?? 0;
    if (exactLength.has(type) ? length !== least : length < least) {
      throw protocolError(`control frame of type ${type} has ${length} bytes`);
    }
    const fin = (flags & Flag.fin) !== 0;
    const id = bytes.readUInt32BE(0) & 0x7fff_ffff;
    if (id === 0 && type !== FrameType.ping && type !== FrameType.goAway)
      throw protocolError("control frame on stream 0");
    switch (type) {
      case FrameType.synStream:
        return {
          type: "synStream",
          streamId: id,
          associatedId: bytes.readUInt32BE(4) & 0x7fff_ffff,
          priority: bytes.readUInt8(8) >> 5,
          fin,
          headers: this.#headers.decode(bytes.subarray(10)),
        };
      case FrameType.synReply:
        return { type: "synReply", streamId: id, fin, headers: this.#headers.decode(bytes.subarray(4)) };
      case FrameType.headers:
        return { type: "headers", streamId: id, fin, headers: this.#headers.decode(bytes.subarray(4)) };
      case FrameType.rstStream: {
        const status = bytes.readUInt32BE(4);
        if (status === 0) throw protocolError("reset with status 0");
        return { type: "rstStream", streamId: id, status };
      }
      case FrameType.ping: {
        const ping = bytes.readUInt32BE(0);
        if (ping === 0) throw protocolError("ping with id 0");
        return { type: "ping", id: ping };
      }
      default:
        return { type: "goAway", lastStreamId: id, status: bytes.readUInt32BE(4) };
    }
  }
}

const leastLength = new Map<number, number>([
  [FrameType.synStream, 10],
  [FrameType.synReply, 4],
  [FrameType.headers, 4],
  [FrameType.rstStream, 8],
  [FrameType.ping, 4],
  [FrameType.goAway, 8],
]);
const readTypes = new Set(leastLength.keys());
const exactLength = new Set<number>([FrameType.rstStream, FrameType.ping, FrameType.goAway]);

function protocolError(message: string): ProtocolError {
  return new ProtocolError(message, GoAwayStatus.protocolError);
}
