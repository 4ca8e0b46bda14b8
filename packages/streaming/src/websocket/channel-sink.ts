import type { ByteSink } from "../bytes.ts";
import { StreamError } from "../errors.ts";
import type { WebSocketConnection } from "./connection.ts";
import { Opcode } from "./frame.ts";

/** Bytes of a message of output, base64 apart. Every client reassembles; what counts is the number of system calls. */
const maxOutput = 64 * 1024;

/** A WebSocket whose messages begin with a channel. */
export interface Wire {
  connection: WebSocketConnection;
  base64: boolean;
}

export interface ChannelSink extends ByteSink {
  /** Queues one message, whether or not there is room. */
  send(bytes: Uint8Array): void;
}

/** Queues one message of a channel: its byte and the payload, or its digit and the payload's base64, as a text. */
function sendMessage({ connection, base64 }: Wire, channel: number, bytes: Uint8Array): void {
  if (base64) {
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
    connection.send(Buffer.from(text), { prefix: 0x30 + channel, opcode: Opcode.text });
  } else {
    connection.send(bytes, { prefix: channel });
  }
}

/** Sends one message of a channel when there is room for it. Rejects once the connection is closed. */
export async function writeMessage(wire: Wire, channel: number, bytes: Uint8Array): Promise<void> {
  const { connection } = wire;
  for (let wait = connection.room(); wait; wait = connection.room()) await wait;
  sendMessage(wire, channel, bytes);
}

/**
 * Writes one channel, in messages of at most `maxMessage` bytes behind the channel's. Its close says nothing: the end of all is
 * the close of the connection.
 */
export function channelSink(wire: Wire, channel: number, { maxMessage = maxOutput } = {}): ChannelSink {
  const { connection, base64 } = wire;
  const size = base64 ? (maxMessage / 4) * 3 : maxMessage;
  let closed = false;
  /** A chunk's next message is still to be made. */
  let unsent = false;
  return {
    get held() {
      return unsent ? Number.POSITIVE_INFINITY : connection.held;
    },
    send: (bytes) => sendMessage(wire, channel, bytes),
    async write(chunk) {
      for (let offset = 0; offset < chunk.byteLength; offset += size) {
        if (closed) throw new StreamError("lost", "the stream is closed for writing");
        unsent = offset + size < chunk.byteLength;
        await writeMessage(wire, channel, chunk.byteLength <= size ? chunk : chunk.subarray(offset, offset + size));
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
