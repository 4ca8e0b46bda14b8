// A layer whose names fill the heap of the thread that unpacks it: those that share the thread are unpacked all the same. Needs root.
import assert from "node:assert/strict";
import { mkdir, mkdtempDisposable, readdir, writeFile } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import path from "node:path";
import { it } from "node:test";
import { gzipSync } from "node:zlib";
import { tarArchive, tarEntry } from "@hawser/tar";
import { createLogger } from "@hawser/trace";
import { Arrival } from "../../packages/runtime/src/images/arrival.ts";
import { digestOf } from "../../packages/runtime/src/images/digest.ts";
import { LayerStore } from "../../packages/runtime/src/images/layers.ts";
import { Unpackers } from "../../packages/runtime/src/images/unpackers.ts";

/** MB. */
const maxHeap = 32;
/** Of a link's target, bytes: what Linux takes, nearly. */
const targetBytes = 4000;

/** Links whose targets are more than such a heap takes. */
function hostileLayer(): Buffer {
  const count = (1.5 * maxHeap * 2 ** 20) / targetBytes;
  const target = "x".repeat(targetBytes);
  return tarArchive(
    Array.from({ length: count }, (_, n) => {
      const linkname = `${n}${target}`.slice(0, targetBytes);
      const longLink = tarEntry({ name: "././@LongLink", type: "K" }, `${linkname}\0`);
      return Buffer.concat([longLink, tarEntry({ name: `link${n}`, type: "2" })]);
    }),
  );
}

it("a layer that fills its thread's heap fails, and nothing else", { timeout: 60_000 }, async () => {
  await using folder = await mkdtempDisposable(path.join(tmpdir(), "hawser-heap-"));
  const place = (name: string) => path.join(folder.path, name);
  const lines: string[] = [];
  const log = createLogger({ sink: { write: (line) => lines.push(line) > 0 } });
  await using unpackers = new Unpackers({ maxHeap });
  await mkdir(place("tmp"));
  const layers = await LayerStore.open({
    directory: place("layers"),
    temporary: place("tmp"),
    aside: place("aside"),
    unpackers,
    log,
  });
  const abort = new AbortController();
  await using made = new AsyncDisposableStack();
  const ensure = async (name: string, tar: Buffer) => {
    const blob = gzipSync(tar, { level: 1 });
    await writeFile(place(name), blob);
    const arrival = new Arrival(place(name));
    arrival.grown(Math.min(blob.length, 100));
    const whole = Promise.withResolvers<string>();
    const layer = layers.ensure({
      chainID: digestOf(tar),
      diffID: digestOf(tar),
      lowers: async () => [],
      onWhole: (root) => void made.use(root),
      below: async () => undefined,
      blob: async () => ({ arrival, whole: whole.promise }),
      turn: (body) => body(),
      signal: abort.signal,
    });
    const arrive = () => {
      arrival.grown(blob.length);
      arrival.ended();
      whole.resolve(place(name));
    };
    return { layer, arrive };
  };
  try {
    // One in every thread there may be, and no more of them than that.
    const innocent = Array.from({ length: Math.min(4, availableParallelism()) }, (_, n) =>
      ensure(`innocent${n}`, tarArchive([tarEntry({ name: `file${n}` }, "x".repeat(5000))])),
    );
    const waiting = await Promise.all(innocent);
    const hostile = await ensure("hostile", hostileLayer());
    hostile.arrive();
    await assert.rejects(hostile.layer, { name: "LayerError", message: /the unpacking thread failed: .*memory limit/ });
    for (const { arrive } of waiting) arrive();
    const whole = await Promise.all(waiting.map(({ layer }) => layer));
    const names = await Promise.all(whole.map(({ directory }) => readdir(path.join(directory, "fs"))));
    assert.deepEqual(
      names,
      whole.map((_, n) => [`file${n}`]),
    );
  } finally {
    abort.abort(new Error("the test is over"));
  }
  assert.equal(lines.filter((line) => line.includes("once more, in a thread of its own")).length, 2, lines.join(""));
  assert.deepEqual(await readdir(place("tmp")), []);
});
