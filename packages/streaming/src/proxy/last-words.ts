import type { Status } from "@hawser/api";
import { ProtocolError } from "../errors.ts";
import { encodeStatus } from "../remotecommand/status.ts";
import { FrameDecoder } from "../spdy/decode.ts";
import { encodeDataHeader, FrameType } from "../spdy/frame.ts";

/** Bytes of a client within which it has opened its error stream: clients open it first. */
const maxOpening = 64 * 1024;
/** Bytes that a cut frame may lack to be filled up: a frame may claim 16 MiB, and peers send 64 KiB at most. */
const maxFill = 1024 * 1024;
/** Bytes of zeros written at once. */
const zeros = Buffer.alloc(64 * 1024);

/**
 * Follows a remote command over SPDY that is spliced, as far as it takes to end it with a Status where the next hop breaks off before
 * it has sent one. Every kubectl up to 1.29 takes the end of the connection for the command's success otherwise.
 *
 * Of the client only the frame is read that opens the error stream; of the next hop only where frames begin.
 */
export class LastWords {
  readonly #protocol: string;
  #opening: FrameDecoder | undefined = new FrameDecoder();
  #opened = 0;
  /** The id of the error stream. */
  #stream: number | undefined;
  #said = false;
  readonly #header = Buffer.alloc(8);
  #headerBytes = 0;
  /** Of the frame under way. */
  #remaining = 0;

  /** `protocol`: what was agreed on. */
  constructor(protocol: string) {
    this.#protocol = protocol;
  }

  /** Bytes on their way from the client. */
  fromClient(chunk: Buffer): void {
    if (!this.#opening) return;
    this.#opened += chunk.byteLength;
    try {
      for (const frame of this.#opening.push(chunk)) {
        if (frame.type !== "synStream" || frame.headers.get("streamtype") !== "error") continue;
        this.#stream = frame.streamId;
        break;
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#opening = undefined; // the next hop will tell it
    }
    if (this.#stream !== undefined || this.#opened > maxOpening) this.#opening = undefined;
  }

  /** Bytes on their way to the client. */
  fromNextHop(chunk: Buffer): void {
    let offset = 0;
    while (offset < chunk.byteLength) {
      if (this.#remaining > 0) {
        const passed = Math.min(this.#remaining, chunk.byteLength - offset);
        this.#remaining -= passed;
        offset += passed;
        continue;
      }
      const taken = chunk.copy(this.#header, this.#headerBytes, offset, offset + 8 - this.#headerBytes);
      this.#headerBytes += taken;
      offset += taken;
      if (this.#headerBytes === 8) this.#begin();
    }
  }

  /**
   * What is to be written to the client before its end; nothing where a Status, or a goodbye, was on its way already, or where the frame
   * that was cut lacks more than 1 MiB.
   */
  ending(status: Status): Uint8Array[] {
    if (this.#stream === undefined || (this.#said && this.#remaining === 0)) return [];
    const fill: Uint8Array[] = [];
    if (this.#headerBytes > 0) {
      this.#header.fill(0, this.#headerBytes);
      fill.push(Buffer.from(this.#header.subarray(this.#headerBytes)));
      this.#begin();
    }
    if (this.#remaining > maxFill) return [];
    // A frame that was cut has to come to its end, or what follows would be taken for a part of it.
    for (; this.#remaining > 0; this.#remaining -= Math.min(this.#remaining, zeros.byteLength)) {
      fill.push(zeros.subarray(0, Math.min(this.#remaining, zeros.byteLength)));
    }
    if (this.#said) return fill;
    this.#said = true;
    const text = encodeStatus(this.#protocol, status);
    return [...fill, encodeDataHeader(this.#stream, text.byteLength, true), text];
  }

  #begin() {
    this.#headerBytes = 0;
    const first = this.#header.readUInt32BE(0);
    this.#remaining = this.#header.readUIntBE(5, 3);
    if (first < 0x8000_0000) this.#said ||= first === this.#stream;
    else this.#said ||= (first & 0xffff) === FrameType.goAway;
  }
}
