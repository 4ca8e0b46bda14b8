// Images under faults: pulls that are cut off or compete, and what is counted and collected, against Debian's genuine registry.
// Needs root (overlayfs).
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { lstat, readdir, readFile, statfs } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import { ContainerState } from "@hawser/cri";
import { tarArchive, tarEntry } from "@hawser/tar";
import { type Registry, startRegistry } from "@hawser/testing";
import { inPieces, ociArchive, type TestImage, testImage } from "../../packages/runtime/src/images/testing/image.ts";
import { type TestStore, testStore } from "../../packages/runtime/src/images/testing/store.ts";
import { pushArchive } from "../../scripts/push-image.ts";
import { image as tools } from "../crun/support/runtime.ts";
import { running, sandboxOf } from "./support/calls.ts";
import { thorough } from "./support/length.ts";
import { relayTo } from "./support/relay.ts";
import { startFaulty } from "./support/runtime-process.ts";

const shared = tarArchive([
  tarEntry({ name: "gone/.wh.file" }),
  tarEntry({ name: "opaque/.wh..wh..opq" }),
  tarEntry({ name: "shared/", type: "5" }),
  tarEntry({ name: "shared/noise" }, randomBytes(150_000).toString("base64")),
  tarEntry({ name: "shared/hard", type: "1", linkname: "shared/noise" }),
  tarEntry({ name: "shared/soft", type: "2", linkname: "noise" }),
]);
const layerOf = (text: string) =>
  tarArchive([tarEntry({ name: "own" }, text), tarEntry({ name: "more" }, randomBytes(30_000).toString("base64"))]);

describe("images under faults", { timeout: 600_000 }, () => {
  let registry: Registry;
  let first: TestImage;
  let second: TestImage;
  before(async () => {
    registry = await startRegistry();
    first = testImage([shared, layerOf("first")], {}, gzipSync);
    second = testImage([shared, layerOf("second")], { Labels: { n: "2" } }, gzipSync);
    for (const [name, made] of Object.entries({ first, second })) {
      await pushArchive({ archive: inPieces(ociArchive(made)), reference: `${registry.host}/faults/${name}:1` });
    }
  });
  after(() => registry?.[Symbol.asyncDispose]());

  it("a pull that is cut off after any number of bytes goes on, or fails and leaves nothing", async (t) => {
    const few = [0, 1, 100, 400, 1000, 3000, 9000, 20_000, 60_000, 130_000, 400_000];
    const many = Array.from({ length: 60 }, (_, index) => 7 + index * 2503);
    let [succeeded, failed, cuts] = [0, 0, 0];
    const pullWith = async (bytes: number) => {
      await using relay = await relayTo(registry.host);
      await using fixture = await testStore();
      relay.cutAt(bytes);
      const reference = `${relay.address}/faults/first:1`;
      const pulled = await fixture.store.pull({ reference }).catch((error: Error) => error);
      cuts += relay.cuts;
      if (pulled instanceof Error) {
        failed++;
        assert.match(pulled.message, /^failed to pull and unpack image/, `cut at ${bytes}`);
        assert.deepEqual(fixture.store.list(), []);
        assert.deepEqual(await names(fixture, "tmp"), []);
        assert.deepEqual(await names(fixture, "records"), []);
        relay.cutAt(Number.POSITIVE_INFINITY);
        assert.deepEqual(await fixture.store.pull({ reference }), { id: first.id });
      } else succeeded++;
      assert.equal(fixture.store.status(reference)?.id, first.id);
      await using mounted = await mount(fixture, first.id);
      assert.equal(await readFile(join(mounted.rootfs, "own"), "utf8"), "first");
      await fixture.store.remove(reference);
    };
    const cutPoints = thorough ? [...few, ...many] : few;
    for (let at = 0; at < cutPoints.length; at += 12) await Promise.all(cutPoints.slice(at, at + 12).map(pullWith));
    t.diagnostic(`${succeeded} pulls went on, ${failed} failed, ${cuts} connections cut`);
    assert.ok(succeeded > 2 && failed > 2);
  });

  it("pulls at the same time, of one image and of one that shares a layer, transfer each blob once", async () => {
    await using fixture = await testStore();
    const before = registry.log().length;
    const wanted = ["first", "first", "second", "first", "second"].map((name) =>
      fixture.store.pull({ reference: `${registry.host}/faults/${name}:1` }),
    );
    await Promise.all(wanted);
    const log = registry.log().slice(before);
    const requests = log.matchAll(/"GET \/v2\/faults\/\w+\/blobs\/(sha256:[0-9a-f]{64})/g);
    const blobs = [...requests].map(([, digest]) => digest);
    assert.equal(blobs.length, 5, "two configs, three layers");
    assert.equal(new Set(blobs).size, 5, "each once");
    assert.equal((await names(fixture, "layers")).length, 3);
    assert.deepEqual(await names(fixture, "tmp"), []);
  });

  it("one of two pulls that gives up does not end the other", async () => {
    await using relay = await relayTo(registry.host);
    await using fixture = await testStore();
    const giveUp = new AbortController();
    const reference = `${relay.address}/faults/first:1`;
    const given = fixture.store.pull({ reference, signal: giveUp.signal });
    const kept = fixture.store.pull({ reference });
    setImmediate(() => giveUp.abort(new Error("enough")));
    await assert.rejects(given, { message: "enough" });
    assert.deepEqual(await kept, { id: first.id });
  });

  it("what they take is told as it is", async () => {
    await using fixture = await testStore();
    for (const name of ["first", "second"]) {
      await fixture.store.pull({ reference: `${registry.host}/faults/${name}:1` });
    }
    await tellsTruth(fixture);
    await fixture.store.remove(`${registry.host}/faults/first:1`);
    await tellsTruth(fixture);
    await tellsTruth({ ...fixture, store: await fixture.reopen() });
    await fixture.store.remove(`${registry.host}/faults/second:1`);
    assert.deepEqual([fixture.store.fsInfo().usedBytes, fixture.store.fsInfo().inodesUsed], [0, 0]);
  });

  it("pinned ones are told to be so, by config, after a restart and under each name", async () => {
    const reference = `${registry.host}/faults/first:1`;
    await using fixture = await testStore({ pinned: [reference] });
    await fixture.store.pull({ reference });
    await fixture.store.pull({ reference: `${registry.host}/faults/second:1` });
    const pinned = () => fixture.store.list().flatMap((one) => (one.pinned ? [one.id] : []));
    assert.deepEqual(pinned(), [first.id]);
    await fixture.reopen();
    assert.deepEqual(pinned(), [first.id]);
  });

  it("collecting them never takes what runs, also across kills, and competes with pulls", async () => {
    await using runtime = await startFaulty();
    const subject = await running(runtime.cri);
    const { containerId } = subject;
    const works = async () => {
      const { status } = await runtime.cri.runtime.containerStatus({ containerId });
      assert.equal(status?.state, ContainerState.CONTAINER_RUNNING);
      const cmd = ["sh", "-c", "sha256sum /bin/* >/dev/null && ls / | wc -l"];
      const { exitCode } = await runtime.cri.runtime.execSync({ containerId, cmd, timeout: 20n });
      assert.equal(exitCode, 0);
    };
    await runtime.cri.images.removeImage({ image: { image: tools } });
    await works();
    await runtime.kill();
    await runtime.start();
    await works();
    const layers = () => readdir(join(runtime.root, "images/layers"));
    assert.equal((await layers()).length, 1);

    const reference = `${registry.host}/faults/first:1`;
    const rounds = thorough ? 40 : 6;
    await Promise.all([
      (async () => {
        for (let n = 0; n < rounds; n++) {
          await runtime.cri.images.pullImage({ image: { image: reference } });
          await runtime.cri.images.removeImage({ image: { image: reference } });
        }
      })(),
      (async () => {
        for (let n = 0; n < rounds; n++) {
          await runtime.cri.images.pullImage({ image: { image: `${registry.host}/faults/second:1` } });
          const { image: found } = await runtime.cri.images.imageStatus({
            image: { image: `${registry.host}/faults/second:1` },
          });
          assert.equal(found?.id, second.id);
          await runtime.cri.images.removeImage({ image: { image: second.id } });
        }
      })(),
    ]);
    await works();
    assert.equal((await layers()).length, 1);
    await runtime.cri.runtime.removePodSandbox({ podSandboxId: subject.podSandboxId });
    await sandboxOf(runtime.cri, subject.config).then((again) =>
      runtime.cri.runtime.removePodSandbox({ podSandboxId: again.podSandboxId }),
    );
    await runtime.load({ name: tools });
    await runtime.cri.images.removeImage({ image: { image: tools } });
    assert.deepEqual(await layers(), []);
  });
});

async function names({ root }: TestStore, place: string): Promise<string[]> {
  return await readdir(join(root, "images", place));
}

async function mount({ store }: TestStore, imageId: string) {
  const { rootfs } = await store.prepareRootfs({ imageId, containerId: "c" });
  return { rootfs, [Symbol.asyncDispose]: () => store.releaseRootfs("c") };
}

/** As du(1) and find(1) would count the layers: blocks and inodes, each hard-linked file once. */
async function tellsTruth({ store, root }: TestStore): Promise<void> {
  const seen = new Set<bigint>();
  let bytes = 0;
  const visit = async (path: string) => {
    const { ino, blocks } = await lstat(path, { bigint: true });
    if (seen.has(ino)) return;
    seen.add(ino);
    bytes += Number(blocks) * 512;
    const entries = await readdir(path).catch(() => []); // not a directory
    for (const name of entries) await visit(join(path, name));
  };
  const layers = await readdir(join(root, "images/layers"));
  for (const layer of layers) await visit(join(root, "images/layers", layer, "fs"));
  const { usedBytes, inodesUsed, mountpoint } = store.fsInfo();
  assert.equal(usedBytes, bytes, "bytes");
  assert.equal(inodesUsed, seen.size, "inodes");
  const { bsize, blocks, bfree } = await statfs(mountpoint);
  assert.ok(usedBytes <= bsize * (blocks - bfree), "not more than the file system has in use");
}
