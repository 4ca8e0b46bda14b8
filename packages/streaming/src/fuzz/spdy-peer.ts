import assert from "node:assert/strict";
import type { Duplex } from "node:stream";
import { serveStreams } from "../portforward/server-spdy.ts";
import { SpdyConnection } from "../spdy/connection.ts";
import { FrameDecoder } from "../spdy/decode.ts";
import {
  encodeDataHeader,
  encodeGoAway,
  encodeHeaders,
  encodePing,
  encodeRstStream,
  encodeSynReply,
  encodeSynStream,
} from "../spdy/frame.ts";
import { HeaderEncoder } from "../spdy/headers.ts";
import type { SpdyStream } from "../spdy/stream.ts";
import { connectedPair } from "../testing/streams.ts";
import { socketTransport } from "../transport.ts";
import { pieces } from "./pieces.ts";

const none = Buffer.alloc(0);

/** A server whose client sends anything: every stream comes to an end, and what is answered is SPDY. */
export async function spdyServer(input: Buffer): Promise<void> {
  const [near, far] = connectedPair();
  const reads: Promise<void>[] = [];
  const connection = new SpdyConnection(socketTransport(near, none), {
    role: "server",
    maxStreams: 8,
    queueBytes: 4096,
    onStream(stream) {
      reads.push(readLate(stream));
      stream.reply();
    },
  });
  connection.start();
  await feed({ near, far, reads, over: connection.signal }, input);
}

/** A client whose server sends anything. */
export async function spdyClient(input: Buffer): Promise<void> {
  const [near, far] = connectedPair();
  const connection = new SpdyConnection(socketTransport(near, none), {
    role: "client",
    maxStreams: 0,
    queueBytes: 4096,
  });
  const streams = ["error", "stdin", "stdout"].map((type) => connection.open([["streamtype", type]]));
  connection.start();
  const writes = streams.map(async ({ sink }) => sink.write(Buffer.from("hello")).then(() => sink.close()));
  const written = Promise.allSettled(writes);
  await feed({ near, far, reads: streams.map(readLate), over: connection.signal }, input);
  await written;
}

/** A port-forward whose client sends anything: no connection in the pod outlives it. */
export async function portForwardServer(input: Buffer): Promise<void> {
  const [near, far] = connectedPair();
  const pods = new Set<Duplex>();
  const session = serveStreams(socketTransport(near, none), {
    ports: [],
    reportErrors: false,
    streamCreationTimeoutMs: 1000,
    idleTimeoutMs: 0,
    pingIntervalMs: 0,
    onError: () => {},
    async connect(port) {
      if (port % 3 === 0) throw new Error("nobody there");
      const [ours, theirs] = connectedPair();
      theirs.on("error", () => {}).pipe(theirs);
      pods.add(ours);
      ours.on("close", () => pods.delete(ours));
      const { duplexOf } = await import("../node.ts");
      return duplexOf(ours);
    },
  });
  await feed({ near, far, reads: [], over: session.signal }, input);
  for (let turn = 0; turn < 100 && pods.size > 0; turn++) await turnOfTheLoop();
  assert.equal(pods.size, 0, "connections in the pod are left");
}

interface Peer {
  near: Duplex;
  far: Duplex;
  /** What reads the streams, each to its end. */
  reads: Promise<void>[];
  over: AbortSignal;
}

/**
 * Sends the input to a connection, and then the end. An input whose first byte is even goes as it is; one whose first byte is
 * odd is a program that makes frames, so that the deflate stream behind their headers is whole.
 */
async function feed({ near, far, reads, over }: Peer, input: Buffer): Promise<void> {
  const answered = new FrameDecoder();
  far.on("data", (chunk: Buffer) => {
    for (const frame of answered.push(chunk)) assert.notEqual(frame.type, "ignored");
  });
  const body = input.subarray(1);
  const chunks = (input[0] ?? 0) % 2 === 0 ? pieces(body) : program(body);
  for (const chunk of chunks) {
    far.write(chunk);
    if (chunk.byteLength % 5 === 0) await turnOfTheLoop();
  }
  await turnOfTheLoop();
  far.end();
  if (!over.aborted)
    await new Promise<void>((resolve) => over.addEventListener("abort", () => resolve(), { once: true }));
  await Promise.all(reads);
  await turnOfTheLoop();
  near.destroy();
  far.destroy();
}

/** Reads a stream to its end, once a little has come. */
async function readLate({ source }: SpdyStream): Promise<void> {
  await turnOfTheLoop();
  try {
    for await (const chunk of source) assert.ok(chunk.byteLength > 0);
  } catch (cause) {
    if (!(cause instanceof Error) || cause.name !== "StreamError") throw cause;
  }
}

const turnOfTheLoop = () => new Promise<void>((resolve) => setImmediate(resolve));

/** Two bytes an instruction: what kind of frame, and of which stream; a third where it takes one. */
function program(input: Buffer): Buffer[] {
  const encoder = new HeaderEncoder();
  const types = ["error", "data", "stdin", "stdout", "resize", "x"];
  const frames: Buffer[] = [];
  for (let offset = 0; offset + 2 < input.byteLength; offset += 3) {
    const [kind = 0, id = 0, more = 0] = input.subarray(offset);
    const fin = (kind & 0x40) !== 0;
    const streamId = Math.max(1, id);
    const headers: [string, string][] = [
      ["streamtype", types[(kind >> 3) % types.length] ?? ""],
      ["port", String(more & 7)],
      ["requestid", String(more >> 4)],
    ];
    switch (kind % 8) {
      case 0:
        frames.push(encodeSynStream(streamId, encoder.encode(headers.slice(0, more === 255 ? 1 : 3)), fin));
        break;
      case 1:
        frames.push(encodeSynReply(streamId, encoder.encode([]), fin));
        break;
      case 2:
        frames.push(encodeHeaders(streamId, encoder.encode(headers), fin));
        break;
      case 3:
        frames.push(encodeRstStream(streamId, 1 + (more % 11)));
        break;
      case 4:
        frames.push(encodePing(streamId));
        break;
      case 5:
        if (more > 250) frames.push(encodeGoAway(id, more % 3));
        break;
      default:
        frames.push(Buffer.concat([encodeDataHeader(streamId, more * 31, fin), Buffer.alloc(more * 31, more)]));
    }
  }
  return frames;
}
