import { Inflate, Z_SYNC_FLUSH } from "pako";
import { ProtocolError } from "../errors.ts";
import { dictionary, dictionaryId } from "./dictionary.ts";
import { GoAwayStatus, type Headers } from "./frame.ts";

/** Headers one block may have. Kubernetes' streams have at most three. */
export const maxHeaders = 64;
/** Bytes one block may have once inflated. */
export const maxHeaderBytes = 16 * 1024;

/**
 * Writes header blocks: one deflate stream for the whole connection, each block flushed.
 *
 * The bytes are stored, not squeezed: a block has sixty bytes, there is nothing to win, and secrets
 * cannot leak through lengths (CRIME). An empty stored block ends each: Go's reader hands the bytes out on it.
 */
export class HeaderEncoder {
  #first = true;

  encode(headers: Iterable<readonly [name: string, value: string]>): Buffer {
    const block = encodeBlock([...headers]);
    if (block.byteLength > maxHeaderBytes)
      throw new RangeError(`header block of ${block.byteLength} bytes is too large`);
    const start = this.#first ? zlibHeader : Buffer.alloc(0);
    this.#first = false;
    const stored = Buffer.alloc(5);
    stored.writeUInt16LE(block.byteLength, 1);
    stored.writeUInt16LE(~block.byteLength & 0xffff, 3);
    return Buffer.concat([start, stored, block, emptyStored]);
  }
}

/** CMF (deflate, 32 KiB window), FLG (with dictionary), the dictionary's checksum. */
const zlibHeader = Buffer.from([
  0x78,
  0xbb,
  dictionaryId >>> 24,
  (dictionaryId >> 16) & 255,
  (dictionaryId >> 8) & 255,
  dictionaryId & 255,
]);
const emptyStored = Buffer.from([0, 0, 0, 0xff, 0xff]);

function encodeBlock(headers: (readonly [string, string])[]): Buffer {
  const parts: Buffer[] = [uint32(headers.length)];
  for (const [name, value] of headers) {
    for (const text of [name.toLowerCase(), value]) {
      const bytes = Buffer.from(text, "utf8");
      parts.push(uint32(bytes.byteLength), bytes);
    }
  }
  return Buffer.concat(parts);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/**
 * Reads header blocks, in the order of their frames: each one continues the deflate stream of the one before, so
 * none may be skipped. Throws ProtocolError for what is not a block, and for more than the limits allow:
 * inflating stops there, whatever the block would have become.
 */
export class HeaderDecoder {
  readonly #inflate: Inflate;
  #parts: Uint8Array[] = [];
  #length = 0;

  constructor() {
    this.#inflate = new Inflate({ windowBits: 15, chunkSize: 4096, dictionary });
    this.#inflate.onData = (chunk) => {
      this.#length += chunk.byteLength;
      if (this.#length > maxHeaderBytes) throw protocolError(`header block is larger than ${maxHeaderBytes} bytes`);
      this.#parts.push(chunk);
    };
  }

  decode(block: Uint8Array): Headers {
    this.#parts = [];
    this.#length = 0;
    if (!this.#inflate.push(block, Z_SYNC_FLUSH) || this.#inflate.ended) {
      throw protocolError(`cannot inflate header block: ${this.#inflate.msg || "the stream has ended"}`);
    }
    const bytes = Buffer.concat(this.#parts, this.#length);
    this.#parts = [];
    return decodeBlock(bytes);
  }
}

function decodeBlock(bytes: Buffer): Headers {
  let offset = 0;
  const number = () => {
    if (offset + 4 > bytes.byteLength) throw protocolError("header block is cut short");
    offset += 4;
    return bytes.readUInt32BE(offset - 4);
  };
  const text = () => {
    const length = number();
    if (length > bytes.byteLength - offset) throw protocolError("header block is cut short");
    offset += length;
    return bytes.toString("utf8", offset - length, offset);
  };
  const count = number();
  if (count > maxHeaders) throw protocolError(`header block has ${count} headers, at most ${maxHeaders} are allowed`);
  const headers = new Map<string, string>();
  for (let index = 0; index < count; index++) {
    const name = text();
    if (name === "" || name !== name.toLowerCase()) throw protocolError("header name is empty or not lower-case");
    if (headers.has(name)) throw protocolError("header name occurs twice");
    headers.set(name, text());
  }
  if (offset !== bytes.byteLength) throw protocolError("header block is longer than its headers");
  return headers;
}

function protocolError(message: string): ProtocolError {
  return new ProtocolError(message, GoAwayStatus.protocolError);
}
