import { randomFillSync } from "node:crypto";
import { maskInto } from "./mask.ts";

// The frames we send, each a whole message. Reading is ws's; writing is ours because ws would need the channel's byte and
// the payload joined first.

export const Opcode = { text: 1, binary: 2 } as const;
export type Opcode = (typeof Opcode)[keyof typeof Opcode];
export const ControlOpcode = { close: 8, ping: 9, pong: 10 } as const;

/**
 * The header of an unmasked, unfragmented message of `length` bytes, with `prefix` (the message's first byte) behind it
 * where there is one; it is not counted in `length`.
 *
 * Source: RFC 6455, section 5.2
 */
export function encodeFrameHeader(opcode: Opcode, length: number, prefix?: number): Buffer {
  const total = length + (prefix === undefined ? 0 : 1);
  const size = headerSize(total);
  const header = Buffer.allocUnsafe(size + total - length);
  writeHeader(header, opcode, total);
  if (prefix !== undefined) header[size] = prefix;
  return header;
}

/** Of a frame that is used again: a message of 32 KiB, its channel and header. */
const spareBytes = 32 * 1024 + 32;
/** Frames of this process that wait to be used again; those that come back beyond are let go. */
const mostSpare = 32;
const spare: ArrayBufferLike[] = [];

function frameMemory(bytes: number): ArrayBufferLike {
  if (bytes > spareBytes || bytes <= spareBytes / 2) return Buffer.allocUnsafeSlow(bytes).buffer;
  return spare.pop() ?? Buffer.allocUnsafeSlow(spareBytes).buffer;
}

/** Nothing uses a masked frame any more: the next may be made in its memory. */
export function frameTaken({ buffer }: Buffer): void {
  if (buffer.byteLength === spareBytes && spare.length < mostSpare) spare.push(buffer);
}

/** A whole masked frame in one buffer: what a client has to send. Source: RFC 6455, section 5.3 */
export function encodeMaskedFrame(opcode: Opcode, payload: Uint8Array, prefix?: number): Buffer {
  const lead = prefix === undefined ? 0 : 1;
  const total = payload.byteLength + lead;
  const size = headerSize(total) + 4;
  const frame = Buffer.from(frameMemory(size + total), 0, size + total);
  writeHeader(frame, opcode, total);
  frame[1] = (frame[1] ?? 0) | 0x80;
  const mask = nextMask();
  frame.set(mask, size - 4);
  if (prefix !== undefined) frame[size] = prefix ^ (mask[0] ?? 0);
  maskInto({ frame, offset: size + lead }, payload, { mask, position: lead });
  return frame;
}

function headerSize(length: number): number {
  return length < 126 ? 2 : length < 65536 ? 4 : 10;
}

function writeHeader(frame: Buffer, opcode: Opcode, length: number) {
  frame[0] = 0x80 | opcode;
  if (length < 126) {
    frame[1] = length;
  } else if (length < 65536) {
    frame[1] = 126;
    frame.writeUInt16BE(length, 2);
  } else {
    frame[1] = 127;
    frame.writeUIntBE(0, 2, 4);
    frame.writeUInt32BE(length, 6);
  }
}

const randomness = new Uint8Array(4096);
let used = randomness.byteLength;

/** Four unpredictable bytes, from a pool: one system call for a thousand frames. */
function nextMask(): Uint8Array {
  if (used === randomness.byteLength) {
    randomFillSync(randomness);
    used = 0;
  }
  used += 4;
  return randomness.subarray(used - 4, used);
}
