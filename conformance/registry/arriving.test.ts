// Layers that are unpacked while they arrive, side by side: in their places in order, whole, or not at all. Needs root (overlayfs).
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readdir, readFile, stat } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import { describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import { Code } from "@hawser/cri";
import { tarArchive, tarEntry } from "@hawser/tar";
import { eventually } from "@hawser/testing";
import { digestOf } from "../../packages/runtime/src/images/digest.ts";
import { type TestImage, testImage } from "../../packages/runtime/src/images/testing/image.ts";
import { type Intervention, testRegistry } from "../../packages/runtime/src/images/testing/registry.ts";
import { type TestStore, testStore } from "../../packages/runtime/src/images/testing/store.ts";

/** More than tar reads at a time, in what gzip makes of it too. */
const noise = () => randomBytes(1_000_000).toString("base64");
const layers = [
  tarArchive([
    tarEntry({ name: "./", type: "5", mode: 0o711, uid: 5 }),
    tarEntry({ name: "etc/", type: "5", mode: 0o750, uid: 7 }),
    tarEntry({ name: "etc/low" }, noise()),
  ]),
  tarArchive([tarEntry({ name: "etc/middle" }, noise()), tarEntry({ name: "etc/.wh.low" })]),
  tarArchive([tarEntry({ name: "etc/top" }, noise())]),
];
const image = testImage(layers, {}, gzipSync);
const [lowest = Buffer.alloc(0), middle = Buffer.alloc(0), top = Buffer.alloc(0)] = image.layers;

/** A registry with the image, where blobs can be answered in another way, and a store. */
async function place(answer: (blob: Buffer, response: ServerResponse, asked: number) => boolean, content = image) {
  await using stack = new AsyncDisposableStack();
  const asked = new Map<Buffer, number>();
  const before: Intervention = (request, response) => {
    const blob = content.layers.find((layer) => request.url?.endsWith(digestOf(layer)));
    if (!blob) return false;
    asked.set(blob, (asked.get(blob) ?? 0) + 1);
    return answer(blob, response, asked.get(blob) ?? 0);
  };
  const registry = stack.use(await testRegistry(before));
  registry.add("app", "1", content);
  const fixture = stack.use(await testStore());
  const held = stack.move();
  return {
    fixture,
    asked,
    reference: `${registry.address}/app:1`,
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}

const names = (fixture: TestStore, what: string) => readdir(join(fixture.root, "images", what));

/** Files below the temporary directory, by what they are called. */
async function unpacking(fixture: TestStore): Promise<string[]> {
  const found = await readdir(join(fixture.root, "images/tmp"), { recursive: true }).catch(() => []); // one of them may go
  return found.map((path) => path.split("/").slice(1).join("/")).sort();
}

async function isWhole(fixture: TestStore, { id }: TestImage): Promise<void> {
  for (const number of await names(fixture, "layers")) {
    const { mode, uid } = await stat(join(fixture.root, "images/layers", number, "fs"));
    assert.deepEqual(
      [mode & 0o7777, uid],
      [0o711, 5],
      "each layer's root is as the lowest, which alone describes it, says",
    );
  }
  const { rootfs } = await fixture.store.prepareRootfs({ imageId: id, containerId: "c" });
  try {
    assert.deepEqual((await readdir(join(rootfs, "etc"))).sort(), ["middle", "top"]);
    const { mode, uid } = await stat(join(rootfs, "etc"));
    assert.deepEqual(
      [mode & 0o7777, uid],
      [0o750, 7],
      "a directory that only the lowest layer describes is as it says",
    );
  } finally {
    await fixture.store.releaseRootfs("c");
  }
}

/** The first half, and then nothing. */
function half(blob: Buffer, response: ServerResponse): true {
  response.writeHead(200, { "Content-Length": blob.length });
  response.write(blob.subarray(0, blob.length / 2));
  return true;
}

describe("layers that arrive", () => {
  it("are unpacked beside one another, and get into their places from the lowest up", async () => {
    const held: ServerResponse[] = [];
    await using where = await place((blob, response) => {
      if (blob !== lowest) return false;
      held.push(response);
      return true;
    });
    const { fixture, reference } = where;
    const pulled = fixture.store.pull({ reference });
    await eventually(async () => {
      const found = await unpacking(fixture);
      return found.includes("layer/fs/etc/middle") && found.includes("layer/fs/etc/top");
    });
    assert.deepEqual(await names(fixture, "layers"), []);
    held[0]?.writeHead(200, { "Content-Length": lowest.length }).end(lowest);
    assert.deepEqual(await pulled, { id: image.id });
    const numbers = (await names(fixture, "layers")).sort((a, b) => Number(a) - Number(b));
    const read = (number: string) => readFile(join(fixture.root, "images/layers", number, "layer.json"), "utf8");
    const diffIDs = (await Promise.all(numbers.map(read))).map((text) => JSON.parse(text).diffID);
    assert.deepEqual(diffIDs, layers.map(digestOf));
    assert.deepEqual(await names(fixture, "tmp"), []);
    await isWhole(fixture, image);
  });

  it("are unpacked before they are there whole", async () => {
    let rest: (() => void) | undefined;
    await using where = await place((blob, response) => {
      if (blob !== lowest) return false;
      rest = () => response.end(lowest.subarray(lowest.length / 2));
      return half(blob, response);
    });
    const pulled = where.fixture.store.pull({ reference: where.reference });
    await eventually(async () => (await unpacking(where.fixture)).includes("layer/fs/etc/low"));
    rest?.();
    assert.deepEqual(await pulled, { id: image.id });
    await isWhole(where.fixture, image);
  });

  it("and are given up leave nothing", async () => {
    await using where = await place(half);
    const abort = new AbortController();
    const pulled = where.fixture.store.pull({ reference: where.reference, signal: abort.signal });
    const refused = assert.rejects(pulled, { message: "enough" });
    await eventually(async () => (await unpacking(where.fixture)).includes("layer/fs/etc/low"));
    abort.abort(new Error("enough"));
    await refused;
    for (const what of ["tmp", "layers", "records"]) assert.deepEqual(await names(where.fixture, what), []);
  });

  it("leave nothing when the store closes", async () => {
    await using where = await place(half);
    const pulled = where.fixture.store.pull({ reference: where.reference });
    const refused = assert.rejects(pulled, { code: Code.Canceled });
    await eventually(async () => (await unpacking(where.fixture)).includes("layer/fs/etc/low"));
    await where.fixture.store[Symbol.asyncDispose]();
    await refused;
    for (const what of ["tmp", "layers", "records"]) assert.deepEqual(await names(where.fixture, what), []);
  });

  it("end together when one of them is refused, the others' transfers too", async () => {
    const hostile = testImage([layers[0] ?? lowest, tarArchive([tarEntry({ name: "../x" }, "x")])], {}, gzipSync);
    const closed = Promise.withResolvers<void>();
    await using where = await place((blob, response) => {
      if (blob !== hostile.layers[0]) return false;
      response.on("close", () => closed.resolve());
      return half(blob, response);
    }, hostile);
    const { fixture, reference } = where;
    await assert.rejects(fixture.store.pull({ reference }), { message: /"\.\.\/x" leads out of the layer/ });
    await closed.promise;
    for (const what of ["tmp", "layers", "records"]) assert.deepEqual(await names(fixture, what), []);
  });

  it("are unpacked anew when the transfer begins anew, with other bytes than at first", async () => {
    const other = gzipSync(tarArchive([tarEntry({ name: "etc/other" }, noise())]));
    await using where = await place((blob, response, asked) => {
      if (blob !== middle) return false;
      if (asked === 1) {
        response.writeHead(200, { "Content-Length": blob.length });
        response.write(other.subarray(0, other.length / 2), () => response.destroy());
      } else response.writeHead(200, { "Content-Length": blob.length }).end(blob); // no matter where it was to go on
      return true;
    });
    assert.deepEqual(await where.fixture.store.pull({ reference: where.reference }), { id: image.id });
    assert.equal(where.asked.get(middle), 2);
    await isWhole(where.fixture, image);
    assert.deepEqual(await names(where.fixture, "tmp"), []);
  });

  it("and are not what their digest says are told to be that, not what they looked like on the way", async () => {
    await using where = await place((blob, response) => {
      if (blob !== top) return false;
      response.writeHead(200, { "Content-Length": blob.length }).end(Buffer.alloc(blob.length, "no gzip"));
      return true;
    });
    await assert.rejects(where.fixture.store.pull({ reference: where.reference }), {
      code: Code.FailedPrecondition,
      message: /failed commit on ref "layer-sha256:.*unexpected commit digest/,
    });
    for (const what of ["tmp", "records"]) assert.deepEqual(await names(where.fixture, what), []);
  });

  it("of two pulls: one goes on with what the other had begun and given up", async () => {
    const begun = Promise.withResolvers<void>();
    await using where = await place((blob, response, asked) => {
      if (blob !== lowest || asked > 1) return false;
      begun.resolve();
      const rest = () => response.end(blob.subarray(blob.length / 2));
      void once(giveUp.signal, "abort").then(rest);
      return half(blob, response);
    });
    const giveUp = new AbortController();
    const { fixture, reference } = where;
    const given = fixture.store.pull({ reference, signal: giveUp.signal });
    const refused = assert.rejects(given, { message: "enough" });
    await begun.promise;
    const kept = fixture.store.pull({ reference });
    await eventually(async () => (await unpacking(fixture)).includes("layer/fs/etc/low"));
    giveUp.abort(new Error("enough"));
    await refused;
    assert.deepEqual(await kept, { id: image.id });
    await isWhole(fixture, image);
    assert.deepEqual(await names(fixture, "tmp"), []);
  });
});
