// What the fuzzer feeds: each target takes any bytes and throws when one of its promises is broken.
import assert from "node:assert/strict";
import { constants, deflateSync } from "node:zlib";
import { ByteQueue } from "../byte-queue.ts";
import { ProtocolError } from "../errors.ts";
import { SizeReader } from "../remotecommand/resize.ts";
import { StatusReader } from "../remotecommand/status.ts";
import type { TerminalSize } from "../remotecommand/types.ts";
import { FrameDecoder } from "../spdy/decode.ts";
import { dictionary } from "../spdy/dictionary.ts";
import type { Frame } from "../spdy/frame.ts";
import { HeaderDecoder, HeaderEncoder, maxHeaderBytes, maxHeaders } from "../spdy/headers.ts";
import { Channel, decodeMessage } from "../websocket/channels.ts";
import { pieces } from "./pieces.ts";
import { portForwardServer, spdyClient, spdyServer } from "./spdy-peer.ts";
import { webSocketClient, webSocketServer } from "./websocket-peer.ts";

export type Target = (input: Buffer) => void | Promise<void>;

export const targets: Readonly<Record<string, Target>> = {
  "byte-queue": byteQueue,
  channels,
  "header-blocks": headerBlocks,
  "port-forward-server": portForwardServer,
  sizes,
  "spdy-client": spdyClient,
  "spdy-frames": spdyFrames,
  "spdy-server": spdyServer,
  status,
  "websocket-client": webSocketClient,
  "websocket-server": webSocketServer,
};

/** Any bytes are frames or a ProtocolError, and the same however they are cut. */
function spdyFrames(input: Buffer): void {
  const whole = decodeFrames([input]);
  assert.deepEqual(decodeFrames(pieces(input)), whole);
  assert.deepEqual(decodeFrames(Array.from(input, (byte) => Buffer.of(byte))), whole);
}

function decodeFrames(chunks: Buffer[]): unknown {
  const decoder = new FrameDecoder();
  const frames: Frame[] = [];
  let error: string | undefined;
  try {
    for (const chunk of chunks) for (const frame of decoder.push(chunk)) frames.push(frame);
  } catch (cause) {
    if (!(cause instanceof ProtocolError)) throw cause;
    error = cause.message;
  }
  const joined: unknown[] = [];
  let data: { streamId: number; text: string; fin: boolean } | undefined;
  for (const frame of frames) {
    if (frame.type !== "data") {
      assert.ok(!("headers" in frame) || frame.headers.size <= maxHeaders);
      data = undefined;
      joined.push(frame);
    } else if (data && !data.fin && data.streamId === frame.streamId) {
      data.text += Buffer.from(frame.bytes).toString("latin1");
      data.fin = frame.fin;
    } else {
      data = { streamId: frame.streamId, text: Buffer.from(frame.bytes).toString("latin1"), fin: frame.fin };
      joined.push(data);
    }
  }
  // Two frames of one stream are joined above, whole or in pieces; a frame without a byte leaves no trace then.
  return { joined: joined.filter((one) => one !== undefined && !isEmpty(one)), error };
}

function isEmpty(one: unknown): boolean {
  return typeof one === "object" && one !== null && "text" in one && one.text === "" && "fin" in one && !one.fin;
}

/**
 * A block of any bytes, deflated or as they are, and once more behind it: headers within the limits, or a ProtocolError. What was read can
 * be written and read.
 */
function headerBlocks(input: Buffer): void {
  const decoder = new HeaderDecoder();
  const body = input.subarray(1);
  const deflated = () => deflateSync(body, { dictionary, finishFlush: constants.Z_SYNC_FLUSH });
  const block = (input[0] ?? 0) % 2 === 0 ? body : deflated();
  try {
    for (const each of [block, block]) {
      const headers = decoder.decode(each);
      assert.ok(headers.size <= maxHeaders);
      const bytes = [...headers].reduce(
        (sum, [name, value]) => sum + Buffer.byteLength(name) + Buffer.byteLength(value),
        0,
      );
      // Bytes that are no UTF-8 become longer when they are read.
      assert.ok(bytes <= 3 * maxHeaderBytes);
      if (bytes + 8 * headers.size + 4 > maxHeaderBytes) continue;
      assert.deepEqual(new HeaderDecoder().decode(new HeaderEncoder().encode(headers)), headers);
    }
  } catch (cause) {
    if (!(cause instanceof ProtocolError)) throw cause;
  }
}

/** Any message in any grammar is a message of a channel, nothing, or a ProtocolError with a close code that may be sent. */
function channels(input: Buffer): void {
  for (const grammar of [
    { base64: false, closeSignal: true },
    { base64: false, closeSignal: false },
    { base64: true, closeSignal: false },
  ]) {
    try {
      const message = decodeMessage(input, grammar);
      if (!message) continue;
      if (message.type === "close") {
        assert.ok(message.channel <= Channel.resize);
        assert.equal(input.byteLength, 2);
      } else if (grammar.base64) {
        assert.equal(message.bytes.byteLength, Buffer.from(input.subarray(1).toString("latin1"), "base64").byteLength);
        assert.ok(message.channel >= 0 && message.channel < 256);
      } else {
        assert.ok(Buffer.from(message.bytes).equals(input.subarray(1)));
        assert.equal(message.channel, input[0]);
      }
    } catch (cause) {
      if (!(cause instanceof ProtocolError)) throw cause;
      assert.ok([1002, 1007].includes(cause.code));
    }
  }
}

/** Any bytes are sizes that a terminal can have, at most sixteen, the same however they are cut. */
async function sizes(input: Buffer): Promise<void> {
  const read = async (chunks: Buffer[]) => {
    const reader = new SizeReader();
    for (const chunk of chunks) reader.push(chunk);
    reader.end();
    const all: TerminalSize[] = [];
    for await (const size of reader) all.push(size);
    return all;
  };
  const whole = await read([input]);
  assert.ok(whole.length <= 16);
  for (const { width, height } of whole) assert.ok(width >= 1 && width <= 65_535 && height >= 1 && height <= 65_535);
  if (input.byteLength <= 1000) assert.deepEqual(await read(pieces(input)), whole); // beyond that, what is no size is dropped
}

/** Any error stream is a Status or an error, in every version; nothing said is a success before v4 alone. */
function status(input: Buffer): void {
  for (const protocol of ["channel.k8s.io", "v2.channel.k8s.io", "v4.channel.k8s.io", "v5.channel.k8s.io"]) {
    const reader = new StatusReader(protocol, () => {});
    try {
      for (const chunk of pieces(input)) reader.push(chunk);
      reader.end();
      const { status: said } = reader.read();
      assert.ok(said === "Success" || said === "Failure");
      const old = protocol === "channel.k8s.io" || protocol === "v2.channel.k8s.io";
      if (said === "Success") assert.ok(old ? input.byteLength === 0 : input.includes("Success"));
    } catch (cause) {
      if (cause instanceof assert.AssertionError || !(cause instanceof Error)) throw cause;
      assert.ok(["ProtocolError", "StreamError"].includes(cause.name), String(cause));
    }
  }
}

/** A queue hands out what was pushed, in order, and says full and drained in turn, whatever the order of calls. */
async function byteQueue(input: Buffer): Promise<void> {
  let full = false;
  let held = 0;
  const queue = new ByteQueue({
    limit: 1000,
    onFull: () => {
      assert.equal(full, false);
      full = true;
    },
    onDrained: () => {
      assert.equal(full, true);
      full = false;
    },
    onChange: (by) => {
      held += by;
      assert.ok(held >= 0);
    },
  });
  const reader = queue[Symbol.asyncIterator]();
  const [pushed, read]: [number[], number[]] = [[], []];
  let discarded = false;
  for (const [index, op] of input.entries()) {
    if (op < 128) {
      if (!discarded && !queue.ended) pushed.push(...Buffer.alloc(op, index));
      queue.push(Buffer.alloc(op, index));
    } else if (op < 250) {
      if (pushed.length > read.length) read.push(...((await reader.next()).value ?? []));
    } else if (op < 253) queue.end();
    else {
      discarded = true;
      queue.discard();
      pushed.length = 0;
      read.length = 0;
    }
  }
  queue.end();
  for (let next = await reader.next(); !next.done; next = await reader.next()) read.push(...next.value);
  assert.deepEqual(read, pushed);
  assert.equal(held, 0);
}
