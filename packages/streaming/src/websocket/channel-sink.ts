import type { ByteSink } from "../bytes.ts";
import { StreamError } from "../errors.ts";
import type { WebSocketConnection } from "./connection.ts";
import { Opcode } from "./frame.ts";

/** A message of output. Every client reassembles; what counts is the number of system calls. */
const maxMessage = 64 * 1024;

export interface ChannelSink extends ByteSink {
  /** Queues one message, whether or not there is room. */
  send(bytes: Uint8Array): void;
}

/** Queues one message of a channel: its byte and the payload, or its digit and the payload's base64, as a text. */
export function sendMessage(
  { connection, base64 }: { connection: WebSocketConnection; base64: boolean },
  channel: number,
  bytes: Uint8Array,
): void {
  if (base64) {
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
    connection.send(Buffer.from(text), { prefix: 0x30 + channel, opcode: Opcode.text });
  } else {
    connection.send(bytes, { prefix: channel });
  }
}

/** Writes one channel of a server. There is no message to close one: the end of all is the close of the connection. */
export function channelSink(
  { connection, base64 }: { connection: WebSocketConnection; base64: boolean },
  channel: number,
): ChannelSink {
  let closed = false;
  const send = (bytes: Uint8Array) => sendMessage({ connection, base64 }, channel, bytes);
  return {
    send,
    async write(chunk) {
      for (let offset = 0; offset < chunk.byteLength; offset += maxMessage) {
        if (closed) throw new StreamError("lost", "the stream is closed for writing");
        for (let wait = connection.room(); wait; wait = connection.room()) await wait;
        send(chunk.byteLength <= maxMessage ? chunk : chunk.subarray(offset, offset + maxMessage));
      }
    },
    async close() {
      closed = true;
    },
    async abort(reason) {
      closed = true;
      connection.close(1011, reason instanceof Error ? reason.message.slice(0, 100) : "");
    },
  };
}
