import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, it } from "node:test";
import { collect, connectedPair } from "../testing/index.ts";
import { socketTransport } from "../transport.ts";
import { maxQueued, SpdyConnection, type SpdyConnectionOptions } from "./connection.ts";
import { FrameDecoder } from "./decode.ts";
import { encodeDataHeader, encodeGoAway, encodePing, encodeRstStream, encodeSynStream, type Frame } from "./frame.ts";
import { HeaderEncoder } from "./headers.ts";
import type { SpdyStream } from "./stream.ts";

const none = Buffer.alloc(0);

/** A server connection, and the other end of its socket as bare frames. */
function bare(options: Partial<SpdyConnectionOptions> = {}) {
  const [near, far] = connectedPair();
  const streams: SpdyStream[] = [];
  const connection = new SpdyConnection(socketTransport(near, none), {
    role: "server",
    maxStreams: 100,
    onStream(stream) {
      streams.push(stream);
      stream.reply();
    },
    ...options,
  });
  connection.start();
  const decoder = new FrameDecoder();
  const encoder = new HeaderEncoder();
  const frames: Frame[] = [];
  const waiting: (() => void)[] = [];
  far.on("data", (chunk: Buffer) => {
    for (const frame of decoder.push(chunk)) frames.push(frame);
    for (const wake of waiting.splice(0)) wake();
  });
  return {
    connection,
    streams,
    far,
    frames,
    open: (id: number, headers: [string, string][] = []) => far.write(encodeSynStream(id, encoder.encode(headers))),
    data: (id: number, bytes: Buffer, fin = false) =>
      far.write(Buffer.concat([encodeDataHeader(id, bytes.byteLength, fin), bytes])),
    /** Waits until the server has sent a frame that fits. */
    async frame(fits: (frame: Frame) => boolean): Promise<Frame> {
      for (;;) {
        const found = frames.find(fits);
        if (found) return found;
        await new Promise<void>((resolve) => waiting.push(resolve));
      }
    },
  };
}

/** Both ends ours. */
function pair(server: Partial<SpdyConnectionOptions> = {}, client: Partial<SpdyConnectionOptions> = {}) {
  const [near, far] = connectedPair();
  const incoming: SpdyStream[] = [];
  const right = new SpdyConnection(socketTransport(far, none), {
    role: "server",
    maxStreams: 100,
    onStream(stream) {
      incoming.push(stream);
      stream.reply();
    },
    ...server,
  });
  const left = new SpdyConnection(socketTransport(near, none), { role: "client", maxStreams: 0, ...client });
  right.start();
  left.start();
  return { left, right, incoming, near, far };
}

const tick = () => new Promise<void>((resolve) => setImmediate(resolve));

describe("SpdyConnection", () => {
  it("half-closes each direction by itself", async () => {
    const { left, incoming } = pair();
    const stream = left.open([["streamtype", "data"]]);
    await stream.sink.write(Buffer.from("question"));
    await stream.sink.close();
    const [other] = incoming;
    assert.ok(other);
    assert.equal(other.headers.get("streamtype"), "data");
    assert.equal((await collect(other.source)).toString(), "question");
    await other.sink.write(Buffer.from("answer"));
    await other.sink.close();
    assert.equal((await collect(stream.source)).toString(), "answer");
    await Promise.all([stream.finished, other.finished]);
  });

  it("writes only once the peer has replied", async () => {
    const { left, incoming } = pair({ onStream: (stream) => incoming.push(stream) });
    const stream = left.open([]);
    let written = false;
    const write = stream.sink.write(Buffer.from("x")).then(() => {
      written = true;
    });
    while (incoming.length === 0) await tick();
    await tick();
    assert.equal(written, false);
    incoming[0]?.reply();
    await write;
  });

  it("tells a reset from an end, on both sides, and drops neither's neighbours", async () => {
    const { left, incoming } = pair();
    const [one, two] = [left.open([]), left.open([])];
    await Promise.all([one.sink.write(Buffer.from("1")), two.sink.write(Buffer.from("2"))]);
    incoming[0]?.reset();
    await assert.rejects(collect(one.source), {
      name: "StreamError",
      kind: "truncated",
      message: /reset by the peer: cancel/,
    });
    await assert.rejects(one.sink.write(Buffer.from("more")), { name: "StreamError" });
    await two.sink.close();
    assert.equal((await collect(incoming[1]?.source ?? ([] as never))).toString(), "2");
  });

  it("gives what was received before it gives the loss", async () => {
    const { left, incoming, near } = pair();
    const stream = left.open([]);
    await stream.sink.write(Buffer.from("the last words"));
    while (incoming.length === 0) await tick();
    const [other] = incoming;
    assert.ok(other);
    await tick();
    near.destroy();
    let got = "";
    await assert.rejects(
      async () => {
        for await (const chunk of other.source) got += Buffer.from(chunk).toString();
      },
      { name: "StreamError", kind: "lost" },
    );
    assert.equal(got, "the last words");
  });

  it("stops reading when a stream's queue is full, and goes on when it is read", async () => {
    const { left, incoming, near } = pair({ queueBytes: 64 * 1024 });
    const [stuck, other] = [left.open([]), left.open([])];
    let written = 0;
    const flood = (async () => {
      for (; written < 200; written++) await stuck.sink.write(Buffer.alloc(32 * 1024));
    })();
    for (let turn = 0; turn < 200; turn++) await tick();
    assert.ok(written < 50, `${written} chunks of 32 KiB were taken`);
    await other.sink.write(Buffer.from("behind"));
    const read = collect(incoming[0]?.source ?? ([] as never));
    await flood;
    await stuck.sink.close();
    assert.equal((await read).byteLength, 200 * 32 * 1024);
    const { value } = (await incoming[1]?.source[Symbol.asyncIterator]().next()) ?? {};
    assert.equal(Buffer.from(value ?? []).toString(), "behind");
    assert.equal(near.destroyed, false);
  });

  it("stops reading when all its streams together hold too much, though none is full, and goes on when some are read", async () => {
    const { left, incoming } = pair({ queueBytes: 1024 * 1024 });
    const streams = Array.from({ length: 20 }, () => left.open([]));
    const each = 900 * 1024; // so that none is full: together 17.6 MiB
    let written = 0;
    const floods = streams.map(async (stream) => {
      for (let sent = 0; sent < each; sent += 30 * 1024) {
        await stream.sink.write(Buffer.alloc(30 * 1024));
        written += 30 * 1024;
      }
      await stream.sink.close();
    });
    for (let turn = 0; turn < 2000; turn++) await tick();
    assert.ok(written > maxQueued / 2 && written < maxQueued + 1024 * 1024, `${written} bytes were taken`);
    const read = await Promise.all(incoming.map(async ({ source }) => (await collect(source)).byteLength));
    await Promise.all(floods);
    assert.deepEqual(read, Array(20).fill(each));
  });

  it("drops a peer that broke the protocol and does not take our goodbye", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const { far, connection } = bare();
    far.pause();
    far.write(Buffer.from("8002000100000000", "hex"));
    await once(connection.signal, "abort");
    t.mock.timers.tick(5000);
    await connection.closed;
  });

  it("does not let a stream that nobody wants to read hold up the others", async () => {
    const { left, incoming } = pair({ queueBytes: 1024 });
    const [unwanted, other] = [left.open([]), left.open([])];
    while (incoming.length < 2) await tick();
    incoming[0]?.discard();
    for (let turn = 0; turn < 20; turn++) await unwanted.sink.write(Buffer.alloc(32 * 1024));
    await other.sink.write(Buffer.from("hello"));
    await other.sink.close();
    assert.equal((await collect(incoming[1]?.source ?? ([] as never))).toString(), "hello");
  });

  it("answers the peer's pings with their ids, and not the answers to its own", async () => {
    const { far, frame, frames, connection } = bare();
    connection.ping();
    await frame((one) => one.type === "ping" && one.id === 2);
    far.write(Buffer.concat([encodePing(2), encodePing(1), encodePing(7)]));
    await frame((one) => one.type === "ping" && one.id === 7);
    assert.deepEqual(
      frames,
      [2, 1, 7].map((id) => ({ type: "ping", id })),
    );
  });

  it("refuses the stream beyond its limit, a thousand times, and goes on", async () => {
    const { open, frame, frames, streams, data } = bare({ maxStreams: 10 });
    for (let index = 0; index < 1000; index++) open(1 + 2 * index);
    await frame((one) => one.type === "rstStream" && one.streamId === 1999);
    assert.equal(streams.length, 10);
    const refused = frames.filter((one) => one.type === "rstStream");
    assert.equal(refused.length, 990);
    assert.ok(refused.every((one) => one.type === "rstStream" && one.status === 3));
    data(1, Buffer.from("x"), true);
    assert.equal((await collect(streams[0]?.source ?? ([] as never))).toString(), "x");
  });

  it("resets a stream whose id does not rise or is not the peer's to choose", async () => {
    const { open, frame, streams } = bare();
    for (const id of [5, 3, 6]) open(id);
    await frame((one) => one.type === "rstStream" && one.streamId === 3 && one.status === 1);
    await frame((one) => one.type === "rstStream" && one.streamId === 6 && one.status === 1);
    assert.deepEqual(
      streams.map(({ id }) => id),
      [5],
    );
  });

  it("ignores frames for streams that are gone", async () => {
    const { open, data, frame, far, connection } = bare();
    data(99, Buffer.from("x"));
    far.write(encodeRstStream(99, 5));
    open(1);
    await frame((one) => one.type === "synReply");
    assert.equal(connection.signal.aborted, false);
  });

  it("says GOAWAY to a peer that breaks the protocol, and fails what is open", async () => {
    const { open, far, frame, streams, connection } = bare();
    open(1);
    await frame((one) => one.type === "synReply");
    far.write(Buffer.from("80020001000000", "hex"));
    far.write(Buffer.from("00", "hex"));
    await frame((one) => one.type === "goAway" && one.status === 1 && one.lastStreamId === 1);
    await assert.rejects(collect(streams[0]?.source ?? ([] as never)), { kind: "protocol" });
    assert.equal(connection.signal.reason.kind, "protocol");
  });

  it("drops a peer that asks and asks and takes no answer", async () => {
    const { far, connection } = bare();
    far.pause();
    const pings = Buffer.concat(Array.from({ length: 10_000 }, () => encodePing(1)));
    for (let turn = 0; turn < 60 && !connection.signal.aborted; turn++) {
      far.write(pings);
      await tick();
    }
    assert.equal(connection.signal.aborted, true);
  });

  it("aborts its signal on the peer's GOAWAY, and still reads what follows", async () => {
    const { open, data, far, frame, streams, connection } = bare();
    open(1);
    await frame((one) => one.type === "synReply");
    far.write(encodeGoAway(0, 0));
    data(1, Buffer.from("after"), true);
    assert.equal((await collect(streams[0]?.source ?? ([] as never))).toString(), "after");
    assert.equal(connection.signal.aborted, true);
  });

  it("closes with resets, GOAWAY and an end", async () => {
    const { open, frame, far, connection } = bare();
    open(1);
    await frame((one) => one.type === "synReply");
    const ended = once(far, "end");
    connection.close();
    await frame((one) => one.type === "rstStream" && one.status === 5);
    await frame((one) => one.type === "goAway" && one.status === 0);
    await ended;
    far.end();
    await connection.closed;
  });
});
