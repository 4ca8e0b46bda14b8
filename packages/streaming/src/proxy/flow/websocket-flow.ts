import { SlabWriter } from "../../slabs.ts";
import type { Transport } from "../../transport.ts";
import { ControlOpcode } from "../../websocket/frame.ts";
import type { Flow, FlowTarget } from "./flow.ts";

/** The longest head of a frame: with eight bytes of length, and a mask. */
const maxHead = 14;
/** Bytes of a control frame's payload, at most. */
const maxControl = 125;

/** What a flow tells of the frames that pass. */
export interface WebSocketWatcher {
  /** A control frame, its payload unmasked. False takes it out. `idle`, where it is true, is no use of the session. */
  control(opcode: number, payload: Buffer): { passes: boolean; idle: boolean };
  /** A message begins, with this byte. Not told of one that is compressed or masked. */
  message(first: number): void;
  /** Bytes of messages pass. */
  data(bytes: number): void;
}

interface Head {
  opcode: number;
  isLast: boolean;
  /** None where it is compressed. */
  isPlain: boolean;
  isMasked: boolean;
  bytes: number;
  length: number;
}

/** WebSocket frames on their way through a hop, as they come: only control frames and heads pass whole. */
export class WebSocketFlow implements Flow {
  readonly #to: Transport;
  readonly #out: SlabWriter;
  readonly #watcher: WebSocketWatcher;
  /** The beginning of a head, or of a control frame. */
  #held: Buffer = Buffer.alloc(0);
  /** Bytes of the data frame under way that are still to come. */
  #remaining = 0;
  #inMessage = false;

  constructor({ to, written }: FlowTarget, watcher: WebSocketWatcher) {
    this.#to = to;
    this.#out = new SlabWriter({ to, written });
    this.#watcher = watcher;
  }

  /** Between two messages, and not only between two frames of one. */
  get betweenMessages(): boolean {
    return this.#remaining === 0 && !this.#inMessage;
  }

  push(read: Buffer): boolean {
    const chunk = this.#held.byteLength > 0 ? Buffer.concat([this.#held, read]) : read;
    this.#held = Buffer.alloc(0);
    let busy = false;
    /** Where what is still to be passed on begins. */
    let from = 0;
    for (let offset = 0; offset < chunk.byteLength; ) {
      if (this.#remaining > 0) {
        const passed = Math.min(this.#remaining, chunk.byteLength - offset);
        this.#remaining -= passed;
        this.#watcher.data(passed);
        offset += passed;
        busy = true;
        continue;
      }
      const head = readHead(chunk, offset);
      const isControl = head !== undefined && head.opcode >= ControlOpcode.close && head.length <= maxControl;
      // Of a server's message the first byte is looked at, too.
      const looked = head?.isMasked ? 0 : 1;
      const needed = head ? head.bytes + (isControl ? head.length : Math.min(looked, head.length)) : maxHead;
      if (!head || offset + needed > chunk.byteLength) {
        this.#pass(chunk.subarray(from, offset));
        this.#held = Buffer.from(chunk.subarray(offset));
        return busy;
      }
      if (isControl) {
        const { passes, idle } = this.#watcher.control(head.opcode, payloadOf(chunk, offset, head));
        busy ||= !idle;
        if (!passes) {
          this.#pass(chunk.subarray(from, offset));
          from = offset + needed;
        }
        offset += needed;
      } else {
        this.#begin(head, chunk[offset + head.bytes]);
        offset += head.bytes;
        busy = true;
      }
    }
    this.#pass(chunk.subarray(from));
    return busy;
  }

  flush(): void {
    this.#out.flush();
  }

  insert(frames: readonly Uint8Array[]): boolean {
    if (this.#remaining > 0) return false;
    this.#out.flush();
    this.#to.write(frames);
    return true;
  }

  #begin({ opcode, isLast, isPlain, isMasked, length }: Head, first: number | undefined) {
    if (opcode !== 0 && isPlain && !isMasked && length > 0 && first !== undefined) this.#watcher.message(first);
    this.#inMessage = !isLast;
    this.#remaining = length;
  }

  #pass(bytes: Buffer) {
    if (bytes.byteLength > 0) this.#out.push(bytes);
  }
}

/** Undefined while it is not all there. Source: RFC 6455, section 5.2 */
function readHead(chunk: Buffer, offset: number): Head | undefined {
  const there = Math.min(chunk.byteLength - offset, maxHead);
  if (there < 2) return undefined;
  const first = chunk[offset] ?? 0;
  const second = chunk[offset + 1] ?? 0;
  const short = second & 0x7f;
  const lengthBytes = short < 126 ? 0 : short === 126 ? 2 : 8;
  const isMasked = (second & 0x80) !== 0;
  const bytes = 2 + lengthBytes + (isMasked ? 4 : 0);
  if (there < bytes) return undefined;
  const length =
    lengthBytes === 0
      ? short
      : lengthBytes === 2
        ? chunk.readUInt16BE(offset + 2)
        : chunk.readUInt32BE(offset + 2) * 2 ** 32 + chunk.readUInt32BE(offset + 6);
  return {
    opcode: first & 0x0f,
    isLast: (first & 0x80) !== 0,
    isPlain: (first & 0x70) === 0,
    isMasked,
    bytes,
    length,
  };
}

function payloadOf(chunk: Buffer, offset: number, { bytes, length, isMasked }: Head): Buffer {
  const payload = chunk.subarray(offset + bytes, offset + bytes + length);
  const mask = chunk.subarray(offset + bytes - 4, offset + bytes);
  return isMasked ? Buffer.from(payload.map((byte, index) => byte ^ (mask[index % 4] ?? 0))) : payload;
}
