/**
 * The frames of SPDY/3.1, as values and as bytes. Numbers are big-endian.
 *
 * Source: SPDY Protocol, Draft 3.1, section 2.2 and 2.6; moby/spdystream spdy/types.go
 */
export const version = 3;

export const FrameType = {
  synStream: 1,
  synReply: 2,
  rstStream: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  headers: 8,
  windowUpdate: 9,
} as const;

export const Flag = { fin: 0x01, unidirectional: 0x02 } as const;

/** Why a stream is reset. */
export const ResetStatus = {
  protocolError: 1,
  invalidStream: 2,
  refusedStream: 3,
  unsupportedVersion: 4,
  cancel: 5,
  internalError: 6,
  flowControlError: 7,
  streamInUse: 8,
  streamAlreadyClosed: 9,
  frameTooLarge: 11,
} as const;
export type ResetStatus = (typeof ResetStatus)[keyof typeof ResetStatus];

export const GoAwayStatus = { ok: 0, protocolError: 1, internalError: 2 } as const;

/** Header names are lower-case; of a header given several times the values stand with NUL between. */
export type Headers = ReadonlyMap<string, string>;

export type Frame =
  | { type: "synStream"; streamId: number; associatedId: number; priority: number; fin: boolean; headers: Headers }
  | { type: "synReply"; streamId: number; fin: boolean; headers: Headers }
  | { type: "headers"; streamId: number; fin: boolean; headers: Headers }
  | { type: "rstStream"; streamId: number; status: number }
  | { type: "ping"; id: number }
  | { type: "goAway"; lastStreamId: number; status: number }
  /** A piece of a data frame, as it came: `fin` stands on the last. A view, not a copy. */
  | { type: "data"; streamId: number; bytes: Uint8Array; fin: boolean }
  /** SETTINGS, WINDOW_UPDATE and what we do not know: Kubernetes' peers act on none of them. */
  | { type: "ignored"; frameType: number };

function controlFrame(type: number, flags: number, length: number): Buffer {
  const frame = Buffer.allocUnsafe(8 + length);
  frame.writeUInt16BE(0x8000 | version, 0);
  frame.writeUInt16BE(type, 2);
  frame.writeUInt32BE(((flags << 24) | length) >>> 0, 4);
  return frame;
}

/** `block` is the compressed header block. */
export function encodeSynStream(streamId: number, block: Uint8Array, fin = false): Buffer {
  const frame = controlFrame(FrameType.synStream, fin ? Flag.fin : 0, 10 + block.byteLength);
  frame.writeUInt32BE(streamId, 8);
  frame.writeUInt32BE(0, 12);
  frame.writeUInt16BE(0, 16);
  frame.set(block, 18);
  return frame;
}

export function encodeSynReply(streamId: number, block: Uint8Array, fin = false): Buffer {
  const frame = controlFrame(FrameType.synReply, fin ? Flag.fin : 0, 4 + block.byteLength);
  frame.writeUInt32BE(streamId, 8);
  frame.set(block, 12);
  return frame;
}

export function encodeHeaders(streamId: number, block: Uint8Array, fin = false): Buffer {
  const frame = encodeSynReply(streamId, block, fin);
  frame.writeUInt16BE(FrameType.headers, 2);
  return frame;
}

export function encodeRstStream(streamId: number, status: number): Buffer {
  const frame = controlFrame(FrameType.rstStream, 0, 8);
  frame.writeUInt32BE(streamId, 8);
  frame.writeUInt32BE(status, 12);
  return frame;
}

export function encodePing(id: number): Buffer {
  const frame = controlFrame(FrameType.ping, 0, 4);
  frame.writeUInt32BE(id, 8);
  return frame;
}

export function encodeGoAway(lastStreamId: number, status: number): Buffer {
  const frame = controlFrame(FrameType.goAway, 0, 8);
  frame.writeUInt32BE(lastStreamId, 8);
  frame.writeUInt32BE(status, 12);
  return frame;
}

/** The eight bytes before `length` bytes of data. */
export function encodeDataHeader(streamId: number, length: number, fin: boolean): Buffer {
  const header = Buffer.allocUnsafe(8);
  header.writeUInt32BE(streamId, 0);
  header.writeUInt32BE(((fin ? Flag.fin << 24 : 0) | length) >>> 0, 4);
  return header;
}
