import assert from "node:assert/strict";
import { once } from "node:events";
import { PassThrough } from "node:stream";
import { it } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { SlabWriter, slabBytes, takeSlab, writeSlab } from "./slabs.ts";
import { collect } from "./testing/index.ts";
import { socketTransport } from "./transport.ts";

it("what waits to be written keeps little more memory than it counts, and its content, whoever gathers in a slab next", () => {
  const kept: Uint8Array[] = [];
  const to = {
    backlog: 0,
    write(parts: readonly Uint8Array[]) {
      for (const part of parts) {
        kept.push(part);
        this.backlog += part.byteLength;
      }
    },
  };
  const [few, most] = [5 * 1024, slabBytes];
  for (let index = 0; index < 26; index++) writeSlab(to, takeSlab().fill(index), few);
  writeSlab(to, takeSlab().fill(99), most);
  takeSlab().fill(0xee);
  const memory = new Set(kept.map(({ buffer }) => buffer));
  const bytes = [...memory].reduce((sum, { byteLength }) => sum + byteLength, 0);
  assert.ok(bytes <= 4 * slabBytes, `${bytes} bytes for ${to.backlog}`);
  for (const [index, part] of kept.slice(0, 26).entries()) assert.ok(part.every((byte) => byte === index));
});

function sink() {
  const stream = new PassThrough({ highWaterMark: 16 * 1024 * 1024 });
  const writes: number[] = [];
  const transport = socketTransport(stream, Buffer.alloc(0));
  const write: typeof transport.write = (parts, taken) => {
    writes.push(parts.reduce((sum, { byteLength }) => sum + byteLength, 0));
    transport.write(parts, taken);
  };
  return { stream, writes, to: { ...transport, write } };
}

it("what comes in one turn is one write, in order, and the memory of what came is free at once", async () => {
  const { stream, writes, to } = sink();
  const out = new SlabWriter({ to, written: () => {} });
  const read = Buffer.alloc(16 * 1024);
  for (const byte of [1, 2, 3]) out.push(read.fill(byte));
  read.fill(9);
  out.push(read.subarray(0, 5)); // small, but behind others
  assert.deepEqual(writes, []);
  await nextTurn();
  assert.deepEqual(writes, [3 * 16 * 1024 + 5]);
  stream.end();
  const got = await collect(stream);
  const want = Buffer.concat([...[1, 2, 3].map((byte) => Buffer.alloc(16 * 1024, byte)), Buffer.alloc(5, 9)]);
  assert.ok(got.equals(want));
});

it("a writer of slabs holds no more than one write's bytes, holds back no key stroke, and says when it has written", async () => {
  const { stream, writes, to } = sink();
  let written = 0;
  const out = new SlabWriter({ to, written: () => written++ });
  out.push(Buffer.from("x"));
  assert.deepEqual([writes, written], [[1], 1]);
  out.push(Buffer.alloc(300 * 1024));
  assert.deepEqual([writes.slice(1), written], [[128 * 1024, 128 * 1024], 3]);
  out.flush();
  out.flush();
  assert.deepEqual([writes.slice(3), written], [[44 * 1024], 4]);
  stream.resume().end();
  await once(stream, "end");
});
