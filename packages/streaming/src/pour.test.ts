import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { describe, it } from "node:test";
import { ByteQueue } from "./byte-queue.ts";
import { pour } from "./pour.ts";
import { collect } from "./testing/index.ts";

for (const kind of ["calls", "iteration"]) {
  describe(`pour, by ${kind}`, () => {
    /** A connection, what comes out at its other end, and a queue that is poured into it. */
    async function pouring() {
      const received = Promise.withResolvers<Buffer>();
      const server = createServer((socket) => collect(socket).then(received.resolve, received.reject)).listen(0);
      await once(server, "listening");
      const address = server.address();
      const target = connect(typeof address === "object" && address ? address.port : 0, "localhost");
      received.promise.catch(() => {}); // where the target is destroyed
      const queue = new ByteQueue({ limit: 10_000_000 });
      const source = kind === "calls" ? queue : { [Symbol.asyncIterator]: () => queue[Symbol.asyncIterator]() };
      return {
        ...{ target, queue, received: received.promise, poured: pour(source, target) },
        [Symbol.dispose]() {
          target.destroy();
          server.close();
        },
      };
    }

    it("moves all, though the target has no room at times, and leaves it open", async () => {
      using path = await pouring();
      const { queue, target, poured, received } = path;
      const chunks = Array.from({ length: 40 }, (_, index) => Buffer.alloc(100_000, index));
      for (const chunk of chunks) queue.push(chunk);
      queue.end();
      await poured;
      assert.equal(target.writable, true);
      target.end();
      assert.ok((await received).equals(Buffer.concat(chunks)));
    });

    it("writes at once what came at once, and no later than that turn", async (context) => {
      using path = await pouring();
      const { queue, target, poured, received } = path;
      await once(target, "connect");
      const write = context.mock.method(target, "write");
      for (const part of ["the rest of a frame,", " a frame,", " the first part of another"])
        queue.push(Buffer.from(part));
      await new Promise(setImmediate);
      if (kind === "calls") assert.equal(write.mock.callCount(), 1); // an iteration has a turn of its own for each chunk
      queue.end();
      await poured;
      target.end();
      assert.equal(String(await received), "the rest of a frame, a frame, the first part of another");
    });

    it("rejects when the source fails", async () => {
      using path = await pouring();
      path.queue.fail(new Error("gone"));
      await assert.rejects(path.poured, /gone/);
    });

    it("drops what comes after the target was closed", async () => {
      using path = await pouring();
      const { queue, target, poured } = path;
      queue.push(Buffer.from("some"));
      const closed = once(target, "close");
      target.destroy();
      await closed;
      queue.push(Buffer.from("more"));
      queue.end();
      await poured;
    });
  });
}

describe("pour into a target that is not read", () => {
  it("keeps nothing of a chunk, has nothing more read once it is full, and goes on when there is room", async () => {
    const { promise: accepted, resolve } = Promise.withResolvers<Socket>();
    const server = createServer({ pauseOnConnect: true }, resolve).listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    const target = connect(typeof address === "object" && address ? address.port : 0, "127.0.0.1");
    try {
      const reader = await accepted;
      const events: string[] = [];
      const drained = Promise.withResolvers<void>();
      const queue = new ByteQueue({
        limit: 256 * 1024,
        onFull: () => events.push("full"),
        onDrained() {
          events.push("drained");
          drained.resolve();
        },
      });
      const poured = pour(queue, target);
      const memory = Buffer.alloc(64 * 1024);
      const sent: Buffer[] = [];
      const push = () => {
        memory.fill(sent.length % 251);
        sent.push(Buffer.from(memory));
        assert.equal(queue.push(memory), true);
      };
      while (events.length === 0) {
        push();
        assert.ok(sent.length < 1000, "a queue that is never full");
      }
      assert.ok(target.writableLength <= 128 * 1024);
      const received = collect(reader);
      reader.resume();
      await drained.promise;
      push();
      queue.end();
      await poured;
      target.end();
      assert.ok((await received).equals(Buffer.concat(sent)));
      assert.deepEqual(events.slice(0, 2), ["full", "drained"]);
    } finally {
      target.destroy();
      server.close();
    }
  });

  it("lets go of what waits when the target is closed", async () => {
    const server = createServer({ pauseOnConnect: true }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    const target = connect(typeof address === "object" && address ? address.port : 0, "127.0.0.1");
    try {
      await once(target, "connect");
      let full = false;
      const onFull = () => {
        full = true;
      };
      const queue = new ByteQueue({ limit: 256 * 1024, onFull });
      const poured = pour(queue, target);
      for (let pushed = 0; !full && pushed < 1000; pushed++) queue.push(Buffer.alloc(64 * 1024));
      assert.ok(full);
      target.destroy();
      queue.end();
      await poured;
    } finally {
      target.destroy();
      server.close();
    }
  });
});
