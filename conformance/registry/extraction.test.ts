// Layers written to disk by GNU tar, mounted by the kernel's overlayfs: hostile ones first. Needs root.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { promisify } from "node:util";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { tarArchive, tarEntry } from "@hawser/tar";
import { silentLogger } from "@hawser/trace";
import { openImageStore } from "../../packages/runtime/src/images/index.ts";
import { extractLayer } from "../../packages/runtime/src/images/layer.ts";
import { isMounted } from "../../packages/runtime/src/images/overlay.ts";
import { dockerArchive, inPieces, ociArchive, testImage } from "../../packages/runtime/src/images/testing/image.ts";
import { testStore } from "../../packages/runtime/src/images/testing/store.ts";

const run = promisify(execFile);
const signal = new AbortController().signal;

/** A directory with a layer's root in it, and beside that a secret that nothing may touch. */
async function place() {
  const path = await mkdtemp(join(tmpdir(), "hawser-layer-"));
  const [root, outside] = [join(path, "root"), join(path, "outside")];
  await mkdir(root);
  await mkdir(outside);
  await writeFile(join(outside, "secret"), "secret", { mode: 0o600 });
  return {
    root,
    outside,
    async untouched() {
      assert.deepEqual(await readdir(outside), ["secret"]);
      assert.equal(await readFile(join(outside, "secret"), "utf8"), "secret");
      assert.equal((await stat(join(outside, "secret"))).mode & 0o7777, 0o600);
      assert.equal((await stat(outside)).mode & 0o7777, 0o755);
      assert.equal((await stat(outside)).uid, 0);
    },
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };
}

describe("a hostile layer stays in its root", () => {
  type Make = (outside: string) => Buffer[];
  const link = (name: string, linkname: string) => tarEntry({ name, type: "2", linkname });
  const cases: { name: string; entries: Make; refused?: RegExp; files?: (outside: string) => string[] }[] = [
    { name: "a name that climbs", entries: () => [tarEntry({ name: "../outside/evil" }, "x")], refused: /leads out/ },
    {
      name: "a file below an absolute link",
      entries: (outside) => [link("a", outside), tarEntry({ name: "a/evil" }, "x")],
      files: (outside) => [`${outside.slice(1)}/evil`],
    },
    {
      name: "a file below a link that climbs",
      entries: () => [link("a", "../outside"), tarEntry({ name: "a/evil" }, "x")],
      files: () => ["outside/evil"],
    },
    {
      name: "a file through a link to it",
      entries: (outside) => [link("a", `${outside}/secret`), tarEntry({ name: "a" }, "x")],
      refused: /"a" twice/,
    },
    {
      name: "a hard link to a file outside",
      entries: (outside) => [
        tarEntry({ name: "h", type: "1", linkname: `${outside}/secret` }),
        tarEntry({ name: "h" }, "x"),
      ],
      refused: /tar failed .*Cannot hard link/,
    },
    {
      name: "a hard link through a link",
      entries: (outside) => [link("a", outside), tarEntry({ name: "h", type: "1", linkname: "a/secret" })],
      refused: /tar failed/,
    },
    {
      name: "a directory whose mode is set through a link",
      entries: (outside) => [link("a", outside), tarEntry({ name: "a/.", type: "5", mode: 0o777, uid: 9 })],
      refused: /"a" twice/,
    },
    {
      name: "a whiteout through a link that comes later",
      entries: (outside) => [tarEntry({ name: "a/.wh.secret" }), link("a", outside)],
      files: (outside) => [`${outside.slice(1)}/secret`],
    },
    {
      name: "an opaque directory that becomes a link",
      entries: (outside) => [tarEntry({ name: "a/.wh..wh..opq" }), link("a", outside)],
    },
    {
      name: "a directory that becomes a link under its own files",
      entries: (outside) => [tarEntry({ name: "a/f" }), link("a", outside), tarEntry({ name: "a/evil" })],
      refused: /"a" twice/,
    },
    {
      name: "an absolute name",
      entries: (outside) => [tarEntry({ name: `${outside}/evil` }, "x")],
      files: (outside) => [`${outside.slice(1)}/evil`],
    },
    {
      name: "a name that climbs after a directory",
      entries: () => [tarEntry({ name: "a/", type: "5" }), tarEntry({ name: "a/../../outside/evil" }, "x")],
      refused: /leads out/,
    },
    {
      name: "a name in a pax header that climbs",
      entries: () => [tarEntry({ name: "a" }, "x", [["path", "../outside/evil"]])],
      refused: /leads out/,
    },
    {
      name: "a hard link in a pax header to a file outside",
      entries: () => [
        tarEntry({ name: "h", type: "1", linkname: "x" }, "", [["linkpath", "../outside/secret"]]),
        tarEntry({ name: "h" }, "x"),
      ],
      refused: /leads out|tar failed|twice/,
    },
    {
      name: "a chain of links that ends outside",
      entries: (outside) => [link("c", outside), link("b", "c"), link("a", "b"), tarEntry({ name: "a/evil" }, "x")],
      files: (outside) => [`${outside.slice(1)}/evil`],
    },
    { name: "a whiteout of what climbs", entries: () => [tarEntry({ name: "a/.wh..." })], refused: /./ },
    { name: "a whiteout of the directory above", entries: () => [tarEntry({ name: ".wh..." })], refused: /./ },
    { name: "a whiteout of the root", entries: () => [tarEntry({ name: ".wh.." })], refused: /./ },
    {
      name: "a device below a link",
      entries: (outside) => [link("a", outside), tarEntry({ name: "a/disk", type: "4", devmajor: 8, devminor: 0 })],
      files: (outside) => [`${outside.slice(1)}/disk`],
    },
    {
      name: "a fifo in place of what a link leads to",
      entries: (outside) => [link("a", outside), tarEntry({ name: "a/secret", type: "6" })],
      files: (outside) => [`${outside.slice(1)}/secret`],
    },
    {
      name: "a name with a new line and a dash",
      entries: () => [tarEntry({ name: "-C\n../outside" }, "x")],
      files: () => ["-C\n../outside"],
    },
  ];
  for (const { name, entries, refused, files } of cases) {
    it(name, async () => {
      await using where = await place();
      const source = inPieces(tarArchive(entries(where.outside)));
      const extraction = extractLayer({ source, directory: where.root, lowers: [], signal });
      if (refused) await assert.rejects(extraction, { message: refused });
      else await extraction;
      for (const file of files?.(where.outside) ?? []) await stat(join(where.root, file));
      await where.untouched();
    });
  }

  it("a file and a whiteout below what is a link out in the layer underneath", async () => {
    await using where = await place();
    await using lower = await place();
    const [under, over] = [
      [link("a", where.outside)],
      [tarEntry({ name: "a/evil" }, "x"), tarEntry({ name: "a/.wh.secret" })],
    ].map((entries) => inPieces(tarArchive(entries)));
    assert.ok(under && over);
    await extractLayer({ source: under, directory: lower.root, lowers: [], signal });
    await extractLayer({ source: over, directory: where.root, lowers: [lower.root], signal });
    assert.ok((await stat(join(where.root, "a"))).isDirectory());
    assert.deepEqual((await readdir(join(where.root, "a"))).sort(), ["evil", "secret"]);
    await where.untouched();
  });

  it("a layer whose tar is cut short", async () => {
    await using where = await place();
    const source = inPieces(tarArchive([tarEntry({ name: "a" }, "x".repeat(100_000))]).subarray(0, 50_000));
    await assert.rejects(extractLayer({ source, directory: where.root, lowers: [], signal }), {
      message: /unexpected EOF/,
    });
  });

  it("an extraction that is aborted ends with the signal's reason", async () => {
    await using where = await place();
    const abort = new AbortController();
    const source = async function* () {
      yield* inPieces(tarEntry({ name: "a" }, "x".repeat(1 << 20)));
      abort.abort(new Error("enough"));
      yield Buffer.alloc(512);
    };
    const extraction = extractLayer({ source: source(), directory: where.root, lowers: [], signal: abort.signal });
    await assert.rejects(extraction, { message: "enough" });
  });
});

describe("names that are no ASCII", () => {
  it("come through byte for byte", async () => {
    await using where = await place();
    const names = [Buffer.from("größe"), Buffer.from([0x66, 0xfc, 0x72]), Buffer.from("new\nline")];
    const entries = names.map((name) => tarEntry({ name: name.toString("latin1") }, "x"));
    await extractLayer({ source: inPieces(tarArchive(entries)), directory: where.root, lowers: [], signal });
    const found = await readdir(where.root, { encoding: "buffer" });
    assert.deepEqual(
      found.map((name) => name.toString("hex")).sort(),
      names.map((name) => name.toString("hex")).sort(),
    );
  });
});

describe("layers of an image", () => {
  const base = tarArchive([tarEntry({ name: "f" }, "base"), tarEntry({ name: "d/", type: "5", mode: 0o700, uid: 7 })]);
  const top = tarArchive([tarEntry({ name: "d/g" }, "top")]);

  for (const [name, compress] of [
    ["plain", (layer: Buffer) => layer],
    ["gzip", (layer: Buffer) => gzipSync(layer)],
    ["zstd", (layer: Buffer) => zstdCompressSync(layer)],
  ] as const) {
    it(`in ${name}`, async () => {
      await using fixture = await testStore({}, ["c1"]);
      const image = testImage([base, top], {}, compress);
      await fixture.store.load(inPieces(ociArchive(image, "docker.io/library/x:1")));
      const { rootfs } = await fixture.store.prepareRootfs({ imageId: "x:1", containerId: "c1" });
      assert.equal(await readFile(join(rootfs, "d/g"), "utf8"), "top");
      assert.deepEqual([(await stat(join(rootfs, "d"))).uid, (await stat(join(rootfs, "d"))).mode & 0o777], [7, 0o700]);
    });
  }

  it("are there once, and go when no image and no container needs them", async () => {
    await using fixture = await testStore({}, ["c1"]);
    const { store } = fixture;
    await store.load(inPieces(dockerArchive(testImage([base, top]), ["both:1"])));
    await store.load(inPieces(dockerArchive(testImage([base], { User: "x" }), ["base:1"])));
    const layers = () => readdir(join(fixture.root, "images/layers"));
    assert.equal((await layers()).length, 2);
    const used = store.fsInfo();
    assert.ok(used.usedBytes >= 8192 && used.inodesUsed === 6, JSON.stringify(used));

    await store.prepareRootfs({ imageId: "both:1", containerId: "c1" });
    await store.remove("both:1");
    await store.remove("base:1");
    assert.equal((await layers()).length, 2, "a container uses them");
    const again = await fixture.reopen();
    assert.equal((await layers()).length, 2, "after a restart, too");
    await again.releaseRootfs("c1");
    assert.deepEqual(await layers(), []);
    assert.equal(again.fsInfo().usedBytes, 0);
  });

  it("that are not what the config says are refused", async () => {
    await using fixture = await testStore();
    const { config } = testImage([base]);
    const archive = dockerArchive({ ...testImage([top]), config }, ["x:1"]);
    await assert.rejects(fixture.store.load(inPieces(archive)), { message: /wrong diff id calculated on extraction/ });
    assert.deepEqual(await readdir(join(fixture.root, "images/layers")), []);
    assert.deepEqual(await readdir(join(fixture.root, "images/tmp")), []);
  });

  it("half-made by a crash are removed, and an image without its layer is set aside", async () => {
    await using fixture = await testStore();
    await fixture.store.load(inPieces(dockerArchive(testImage([base]), ["x:1"])));
    await mkdir(join(fixture.root, "images/tmp/half/layer/fs"), { recursive: true });
    const [layer = ""] = await readdir(join(fixture.root, "images/layers"));
    await rm(join(fixture.root, "images/layers", layer, "layer.json"));
    const again = await fixture.reopen();
    assert.deepEqual(again.list(), []);
    assert.deepEqual(await readdir(join(fixture.root, "images/tmp")), []);
    await again.load(inPieces(dockerArchive(testImage([base]), ["x:1"])));
    assert.equal(again.list().length, 1);
  });
});

describe("root file systems", () => {
  const image = testImage([
    tarArchive([tarEntry({ name: "f" }, "base"), tarEntry({ name: "./", type: "5", mode: 0o711 })]),
  ]);

  it("are mounted once, survive a restart, are mounted anew after a reboot, and released twice", async () => {
    await using fixture = await testStore({}, ["c1"]);
    await fixture.store.load(inPieces(dockerArchive(image, ["x:1"])));
    const { rootfs } = await fixture.store.prepareRootfs({ imageId: "x:1", containerId: "c1" });
    assert.equal((await stat(rootfs)).mode & 0o7777, 0o711, "the top layer's root");
    await writeFile(join(rootfs, "f"), "changed");
    for (const store of [fixture.store, await fixture.reopen()]) {
      assert.equal((await store.prepareRootfs({ imageId: "x:1", containerId: "c1" })).rootfs, rootfs);
    }
    const { stdout } = await run("findmnt", ["--noheadings", "--output", "TARGET", rootfs]);
    assert.equal(stdout.trim().split("\n").length, 1, "one mount");

    await run("umount", [rootfs]);
    await fixture.store.prepareRootfs({ imageId: "x:1", containerId: "c1" });
    assert.equal(await readFile(join(rootfs, "f"), "utf8"), "changed");

    await fixture.store.releaseRootfs("c1");
    await fixture.store.releaseRootfs("c1");
    assert.equal(await isMounted(rootfs), false);
    assert.deepEqual(await readdir(join(fixture.root, "containers")), []);
  });

  it("of many layers, more than mount(2) takes by name", async () => {
    await using fixture = await testStore({}, ["c1"]);
    const layers = Array.from({ length: 127 }, (_, n) => tarArchive([tarEntry({ name: `f${n}` }, String(n))]));
    await fixture.store.load(inPieces(dockerArchive(testImage(layers), ["many:1"]), 1 << 20));
    const { rootfs } = await fixture.store.prepareRootfs({ imageId: "many:1", containerId: "c1" });
    assert.equal((await readdir(rootfs)).length, 127);
    assert.equal(await readFile(join(rootfs, "f126"), "utf8"), "126");
  });

  it("cannot lie on an overlay, and the message says so", async () => {
    await using fixture = await testStore({}, ["c1"]);
    await fixture.store.load(inPieces(dockerArchive(image, ["x:1"])));
    const { rootfs } = await fixture.store.prepareRootfs({ imageId: "x:1", containerId: "c1" });
    const inner = await openImageStore({ root: join(rootfs, "inner"), log: silentLogger });
    await inner.load(inPieces(dockerArchive(image, ["x:1"])));
    await assert.rejects(inner.prepareRootfs({ imageId: "x:1", containerId: "c2" }), {
      message: /lies on an overlay file system itself/,
    });
    assert.deepEqual(await readdir(join(rootfs, "inner/containers")), []);
  });

  it("of an image without layers", async () => {
    await using fixture = await testStore({}, ["c1"]);
    await fixture.store.load(inPieces(dockerArchive(testImage(), ["scratch:1"])));
    const { rootfs } = await fixture.store.prepareRootfs({ imageId: "scratch:1", containerId: "c1" });
    assert.deepEqual(await readdir(rootfs), []);
  });

  it("of an unknown image are refused, and nothing is left", async () => {
    await using fixture = await testStore({}, ["c1"]);
    await assert.rejects(fixture.store.prepareRootfs({ imageId: "none", containerId: "c1" }), {
      code: 5,
      message: 'image "none" not found',
    });
    assert.deepEqual(await readdir(join(fixture.root, "containers")), []);
    await assert.rejects(fixture.store.prepareRootfs({ imageId: "none", containerId: "../evil" }), { code: 5 });
    await assert.rejects(fixture.store.releaseRootfs("../evil"), { message: 'invalid container id "../evil"' });
  });
});
