// A disk with room for a few pages, or a few inodes, in each call: a clear error or success, nothing left, and it works when
// there is room again. What stops and removes must work without any. Needs root, crun, conmon and the CNI plugins.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import { ContainerState, type CRIConnection, upload } from "@hawser/cri";
import { tarArchive, tarEntry } from "@hawser/tar";
import { startRegistry } from "@hawser/testing";
import { inPieces, ociArchive, testImage } from "../../packages/runtime/src/images/testing/image.ts";
import { pushArchive } from "../../scripts/push-image.ts";
import { makeArchive } from "../crun/support/image.ts";
import { bystander, create, created, nothing, pod, remove, running, useAndRemove } from "./support/calls.ts";
import { settledInventory, settlesAt } from "./support/inventory.ts";
import { thorough } from "./support/length.ts";
import { type FaultyRuntime, startFaulty } from "./support/runtime-process.ts";
import { type SmallDisk, smallDisk } from "./support/small-disk.ts";

/** Rooms from none to what is enough. */
const all = [
  ...[0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 16].map((pages) => ({ pages })),
  ...[0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 20].map((inodes) => ({ inodes })),
];
const rooms = thorough ? all : [{ pages: 1 }, { inodes: 3 }, { inodes: 8 }];
const clear = /ENOSPC|[Nn]o space left/;

describe("with a full disk", { timeout: 900_000 }, () => {
  let disk: SmallDisk;
  let runtime: FaultyRuntime;
  let other: Awaited<ReturnType<typeof bystander>>;
  let baseline: string[];
  let archive: Buffer;
  const stack = new AsyncDisposableStack();
  before(async () => {
    archive = await makeArchive({ name: "hawser.test/second:1", files: { "/large": "x".repeat(300_000) } });
    disk = stack.use(await smallDisk({ megabytes: 96, inodes: 700 }));
    runtime = stack.use(await startFaulty({ root: disk.path }));
    stack.defer(() => disk.clear());
    other = await bystander(runtime.cri);
    baseline = await settledInventory(runtime.root);
  });
  after(() => stack.disposeAsync());
  afterEach(() => disk.clear());

  const isClean = (expected: string[]) => settlesAt(runtime.root, expected, { apart: /\/ballast/ });

  /** With each room: the call fails clearly and leaves nothing, or succeeds; then it works. Some room is too small, some enough. */
  const failsCleanly = async (
    prepare: (cri: CRIConnection) => Promise<Awaited<ReturnType<typeof pod>>>,
    call: (cri: CRIConnection, subject: Awaited<ReturnType<typeof pod>>) => Promise<string>,
    finish: (cri: CRIConnection, subject: Awaited<ReturnType<typeof pod>>, made: string) => Promise<void>,
  ) => {
    const { cri } = runtime;
    let failures = 0;
    for (const room of rooms) {
      const subject = await prepare(cri);
      const prepared = await settledInventory(runtime.root);
      await disk.fill(room);
      const result = await call(cri, subject).catch((error: Error) => error);
      if (result instanceof Error) {
        failures++;
        assert.match(result.message, clear, JSON.stringify(room));
        await isClean(prepared);
      }
      await disk.clear();
      await other.stands(cri);
      await finish(cri, subject, result instanceof Error ? await call(cri, subject) : result);
      await isClean(baseline);
    }
    assert.ok(failures > 0, "no room was small enough");
  };

  it("RunPodSandbox", () =>
    failsCleanly(
      nothing,
      async (cri, { config }) => (await cri.runtime.runPodSandbox({ config })).podSandboxId,
      (cri, subject, podSandboxId) => useAndRemove(cri, { ...subject, podSandboxId }),
    ));

  it("CreateContainer", () =>
    failsCleanly(pod, create, (cri, subject, containerId) => useAndRemove(cri, { ...subject, containerId })));

  it("loading an image", () =>
    failsCleanly(
      nothing,
      async () => {
        await upload({
          endpoint: `unix://${runtime.socketPath}`,
          path: "/hawser.v1.Images/Load",
          chunks: once(archive),
        });
        return "";
      },
      async (cri) => {
        await cri.images.removeImage({ image: { image: "hawser.test/second:1" } });
      },
    ));

  it("PullImage", async () => {
    await using registry = await startRegistry();
    const reference = `${registry.host}/faults/full:1`;
    const noise = tarArchive([tarEntry({ name: "noise" }, "x".repeat(100_000)), tarEntry({ name: "d/f" }, "y")]);
    await pushArchive({ archive: inPieces(ociArchive(testImage([noise]))), reference });
    await failsCleanly(
      nothing,
      async (cri) => (await cri.images.pullImage({ image: { image: reference } })).imageRef,
      async (cri) => {
        await cri.images.removeImage({ image: { image: reference } });
      },
    );
  });

  for (const room of thorough ? [{ pages: 0 }, { inodes: 0 }] : [{ pages: 0 }]) {
    it(`everything that starts, stops and removes works with ${JSON.stringify(room)}`, async () => {
      const { cri } = runtime;
      await upload({ endpoint: `unix://${runtime.socketPath}`, path: "/hawser.v1.Images/Load", chunks: once(archive) });
      const [runs, waits] = [await running(cri), await created(cri)];
      await disk.fill(room);
      await cri.runtime.startContainer({ containerId: waits.containerId });
      const { stdout } = await cri.runtime.execSync({
        containerId: runs.containerId,
        cmd: ["echo", "x"],
        timeout: 30n,
      });
      assert.equal(Buffer.from(stdout).toString(), "x\n");
      await cri.runtime.stopContainer({ containerId: runs.containerId, timeout: 5n });
      const { status } = await cri.runtime.containerStatus({ containerId: runs.containerId });
      assert.equal(status?.state, ContainerState.CONTAINER_EXITED);
      assert.equal(status?.exitCode, 9);
      await cri.runtime.removeContainer({ containerId: runs.containerId });
      await cri.images.removeImage({ image: { image: "hawser.test/second:1" } });
      for (const subject of [runs, waits]) await remove(cri, subject);
      await other.stands(cri);
      await isClean(baseline);
    });
  }

  it("a runtime starts again on it, and finds everything", async () => {
    const subject = await running(runtime.cri);
    await disk.fill({ pages: 0 });
    await runtime.kill();
    await runtime.start();
    await other.stands(runtime.cri);
    await useAndRemove(runtime.cri, subject);
    await isClean(baseline);
  });
});

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
