import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { PassThrough, Writable } from "node:stream";
import { describe, it } from "node:test";
import { ByteQueue } from "./byte-queue.ts";
import { copy } from "./bytes.ts";
import { duplexOf, sinkOf, sourceOf } from "./node.ts";
import { collect } from "./testing/index.ts";

describe("sinkOf", () => {
  it("rejects a write that waits for room when the stream is destroyed: no drain would ever come", async () => {
    const stuck = new Writable({ highWaterMark: 1, write() {} });
    const sink = sinkOf(stuck);
    const write = sink.write(Buffer.alloc(10));
    stuck.destroy(new Error("gone"));
    await assert.rejects(write, /gone/);
    await assert.rejects(sink.write(Buffer.alloc(1)), /gone/);
    await assert.rejects(sink.close(), /gone/);
  });

  it("rejects a close whose end never comes", async () => {
    const stuck = new Writable({ write() {} });
    const sink = sinkOf(stuck);
    await sink.write(Buffer.alloc(1));
    const close = sink.close();
    stuck.destroy();
    await assert.rejects(close);
  });

  it("waits for room", async () => {
    const taken: (() => void)[] = [];
    const slow = new Writable({ highWaterMark: 2, write: (_chunk, _encoding, done) => void taken.push(done) });
    const sink = sinkOf(slow);
    let wrote = false;
    const write = sink.write(Buffer.alloc(5)).then(() => {
      wrote = true;
    });
    await Promise.resolve();
    assert.equal(wrote, false);
    taken[0]?.();
    await write;
  });

  it("closes once and again", async () => {
    const sink = sinkOf(new PassThrough().resume());
    await sink.close();
    await sink.close();
    await assert.rejects(sink.write(Buffer.alloc(1)));
  });
});

describe("sourceOf", () => {
  it("leaves the other half of a socket alone at its end", async () => {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      void (async () => {
        const { source, sink } = duplexOf(socket);
        const got = await collect(source);
        await sink.write(Buffer.from(`got ${got}`));
        await sink.close();
      })();
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    const socket = connect({
      port: typeof address === "object" && address ? address.port : 0,
      host: "127.0.0.1",
      allowHalfOpen: true,
    });
    const { source, sink } = duplexOf(socket);
    await sink.write(Buffer.from("all"));
    await sink.close();
    assert.equal((await collect(source)).toString(), "got all");
    server.close();
    await once(server, "close");
  });

  it("fails when the stream is destroyed before its end", async () => {
    const stream = new PassThrough();
    const read = collect(sourceOf(stream));
    stream.write("x");
    stream.destroy();
    await assert.rejects(read, { name: "StreamError", kind: "lost" });
  });

  it("reads no further than its limit ahead of its reader", async () => {
    let made = 0;
    const endless = async function* () {
      for (;;) {
        made++;
        yield Buffer.alloc(64 * 1024);
      }
    };
    const { Readable } = await import("node:stream");
    const stream = Readable.from(endless(), { objectMode: false });
    const reader = sourceOf(stream)[Symbol.asyncIterator]();
    await reader.next();
    for (let turn = 0; turn < 100; turn++) await new Promise((resolve) => setImmediate(resolve));
    assert.ok(made < 20, `${made} chunks were read`);
    stream.destroy();
  });
});

describe("ByteQueue", () => {
  it("hands out what was pushed before the end and before a failure", async () => {
    const queue = new ByteQueue({ limit: 100 });
    queue.push(Buffer.from("a"));
    queue.fail(new Error("then"));
    queue.push(Buffer.from("late"));
    const reader = queue[Symbol.asyncIterator]();
    assert.equal(Buffer.from((await reader.next()).value ?? []).toString(), "a");
    await assert.rejects(reader.next(), /then/);
  });

  it("tells when it is full and when it has room, counting small chunks for what they cost", async () => {
    const events: string[] = [];
    const queue = new ByteQueue({
      limit: 1000,
      onFull: () => events.push("full"),
      onDrained: () => events.push("room"),
    });
    for (let index = 0; index < 12; index++) queue.push(Buffer.of(index));
    assert.deepEqual(events, ["full"]);
    const reader = queue[Symbol.asyncIterator]();
    for (let index = 0; index < 8; index++) await reader.next();
    assert.deepEqual(events, ["full", "room"]);
  });

  it("does not keep a large buffer for a small view on it", async () => {
    const queue = new ByteQueue({ limit: 1000 });
    queue.push(Buffer.alloc(64 * 1024).subarray(5, 10));
    const { value } = await queue[Symbol.asyncIterator]().next();
    assert.equal(value?.buffer.byteLength, 5);
  });

  it("discards for a reader that left", async () => {
    const queue = new ByteQueue({ limit: 10 });
    queue.push(Buffer.alloc(50));
    for await (const _chunk of queue) break;
    assert.equal(queue.full, false);
    for (let turn = 0; turn < 100; turn++) queue.push(Buffer.alloc(50));
    assert.equal(queue.full, false);
  });

  it("wakes a reader that waits", async () => {
    const queue = new ByteQueue({ limit: 10 });
    const all = collect(queue);
    await Promise.resolve();
    queue.push(Buffer.from("one "));
    await Promise.resolve();
    queue.push(Buffer.from("two"));
    queue.end();
    assert.equal((await all).toString(), "one two");
  });
});

it("copy aborts where it writes when it cannot read on", async () => {
  const aborted: unknown[] = [];
  const from = (async function* () {
    yield Buffer.from("x");
    throw new Error("no more");
  })();
  const to = {
    write: async () => {},
    close: async () => assert.fail("no end was seen"),
    abort: async (reason: unknown) => void aborted.push(reason),
  };
  await assert.rejects(copy(from, to), /no more/);
  assert.match(String(aborted), /no more/);
});

describe("ByteQueue.handTo", () => {
  function taker() {
    const took: string[] = [];
    const waits: PromiseWithResolvers<void>[] = [];
    return {
      took,
      full: false,
      /** Settles the wait for room. */
      async makeRoom() {
        this.full = false;
        waits.shift()?.resolve();
        await Promise.resolve();
      },
      push(chunk: Uint8Array) {
        took.push(Buffer.from(chunk).toString());
        return true;
      },
      room() {
        if (!this.full) return undefined;
        const wait = Promise.withResolvers<void>();
        waits.push(wait);
        return wait.promise;
      },
      end: () => void took.push("(end)"),
      fail: (error: unknown) => void took.push(`(${error instanceof Error ? error.message : error})`),
    };
  }

  it("gives what is queued, then what comes, then the end", () => {
    const queue = new ByteQueue({ limit: 1000 });
    const to = taker();
    assert.equal(queue.push(Buffer.from("a")), true, "a small view is copied");
    queue.handTo(to);
    assert.equal(queue.push(Buffer.from("b")), true);
    queue.end();
    queue.push(Buffer.from("late"));
    assert.deepEqual(to.took, ["a", "b", "(end)"]);
  });

  it("queues while there is no room, up to its limit, and gives the failure behind it", async () => {
    const events: string[] = [];
    const queue = new ByteQueue({
      limit: 400,
      onFull: () => events.push("full"),
      onDrained: () => events.push("drained"),
    });
    const to = taker();
    queue.handTo(to);
    to.full = true;
    for (const text of ["a", "b", "c", "d", "e", "f"]) queue.push(Buffer.from(text));
    assert.deepEqual([to.took, events], [["a"], ["full"]]);
    await to.makeRoom();
    assert.deepEqual(
      [to.took, events],
      [
        ["a", "b", "c", "d", "e", "f"],
        ["full", "drained"],
      ],
    );
    to.full = true;
    queue.push(Buffer.from("g"));
    queue.fail(new Error("lost"));
    assert.equal(to.took.at(-1), "g");
    await to.makeRoom();
    assert.equal(to.took.at(-1), "(lost)");
  });

  it("has nothing more read for a taker that is a queue and has no room, but gives it the rest of what was", async () => {
    const events: string[] = [];
    const queue = new ByteQueue({
      limit: 100_000,
      onFull: () => events.push("full"),
      onDrained: () => events.push("drained"),
    });
    const to = taker();
    queue.handTo({ ...to, isQueue: true, room: () => to.room() });
    to.full = true;
    queue.push(Buffer.from("a"));
    assert.deepEqual(events, ["full"]);
    queue.push(Buffer.from("b"));
    assert.deepEqual(to.took, ["a", "b"]);
    for (const [size, text] of [
      [60_000, "c"],
      [6_000, "d"],
      [1, "e"],
    ] as const)
      queue.push(Buffer.alloc(size, text));
    assert.deepEqual(
      to.took.map((text) => text[0]),
      ["a", "b", "c"],
      "64 KiB at most, and in order",
    );
    assert.deepEqual(events, ["full"]);
    await to.makeRoom();
    assert.deepEqual(
      to.took.map((text) => text[0]),
      ["a", "b", "c", "d", "e"],
    );
    assert.deepEqual(events, ["full", "drained"]);
  });
});
