import { ProtocolError } from "../errors.ts";

/**
 * Channel ids of the remotecommand subprotocols over WebSocket: the first byte of every message.
 *
 * Source: kubernetes/cri-streaming pkg/streaming/remotecommand/constants.go
 */
export const Channel = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4 } as const;
export type Channel = (typeof Channel)[keyof typeof Channel];

/** In the place of a channel: the channel named by the next byte is closed (v5). */
export const closeSignal = 255;

export type Message = { type: "data"; channel: number; bytes: Uint8Array } | { type: "close"; channel: number };

export interface Grammar {
  base64: boolean;
  /** Whether 255 is a close signal. */
  closeSignal: boolean;
}

/**
 * Reads one WebSocket message. Undefined for one without a byte and for a channel nobody knows: the peers skip those too.
 * `bytes` is a view, except in base64. Throws ProtocolError 1002 for a close signal that is none, 1007 for what is not base64.
 *
 * Source: kubernetes/streaming pkg/httpstream/wsstream/conn.go
 */
export function decodeMessage(message: Buffer, { base64, closeSignal: hasClose }: Grammar): Message | undefined {
  const [first, second] = message;
  if (first === undefined) return undefined;
  if (base64) {
    const channel = first - 0x30;
    if (channel < 0) return undefined;
    return { type: "data", channel, bytes: decodeBase64(message.subarray(1)) };
  }
  if (first === closeSignal && hasClose) {
    if (message.byteLength !== 2 || second === undefined || second > Channel.resize) {
      throw new ProtocolError("the close signal names no channel", 1002);
    }
    return { type: "close", channel: second };
  }
  return { type: "data", channel: first, bytes: message.subarray(1) };
}

function decodeBase64(bytes: Buffer): Buffer {
  const text = bytes.toString("latin1");
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text))
    throw new ProtocolError("message is not base64", 1007);
  return Buffer.from(text, "base64");
}
