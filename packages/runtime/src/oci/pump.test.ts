import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import type { ByteSink } from "@hawser/streaming";
import { pump } from "./pump.ts";

function collector(write?: (text: string) => Promise<void>): ByteSink & { text: string } {
  return {
    text: "",
    async write(chunk) {
      this.text += Buffer.from(chunk).toString();
      await write?.(this.text);
    },
    close: async () => {},
    abort: async () => {},
  };
}
const never = new Promise<never>(() => {});

test("pump: moves everything up to the end", async () => {
  const [stream, sink] = [new PassThrough(), collector()];
  stream.write("a");
  stream.end("b");
  await pump({ stream, sink, exited: never, drainMs: 10 });
  assert.equal(sink.text, "ab");
});

test("pump: a silent output ends after its command, though it is held open", async () => {
  const [stream, sink] = [new PassThrough(), collector()];
  stream.write("last words");
  await pump({ stream, sink, exited: Promise.resolve(), drainMs: 30 });
  assert.equal(sink.text, "last words");
  assert.ok(stream.destroyed);
});

test("pump: time that the reader takes does not count", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const [stream, sink] = [new PassThrough(), collector(() => promise)];
  stream.write("slow");
  const pumping = pump({ stream, sink, exited: Promise.resolve(), drainMs: 20 });
  const early = await Promise.race([
    pumping.then(() => "ended"),
    new Promise((later) => setTimeout(later, 150, "waits")),
  ]);
  assert.equal(early, "waits");
  stream.end(" but whole");
  resolve();
  await pumping;
  assert.equal(sink.text, "slow but whole");
});

test("pump: a terminal's EIO is its end", async () => {
  const [stream, sink] = [new PassThrough(), collector()];
  stream.write("x");
  setImmediate(() => stream.destroy(Object.assign(new Error("EIO"), { code: "EIO" })));
  await pump({ stream, sink, exited: never, drainMs: 10 });
});

test("pump: a sink that fails closes the output", async () => {
  const [stream, sink] = [new PassThrough(), collector(() => Promise.reject(new Error("client gone")))];
  stream.write("x");
  await assert.rejects(pump({ stream, sink, exited: never, drainMs: 10 }), /client gone/);
  assert.ok(stream.destroyed);
});
