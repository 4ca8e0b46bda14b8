// One script of CRI calls to our runtime and to Debian's containerd: the answers are the same, field by field, but for
// what accepted.ts lists with its reasons.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { removeEverything, startRuntime } from "@hawser/runtime";
import { startRegistry } from "@hawser/testing";
import { pushArchive } from "../../scripts/push-image.ts";
import { startContainerd, whyNoContainerd } from "../containerd/containerd.ts";
import { type ImageOptions, makeArchive } from "../crun/support/image.ts";
import { testConfig } from "../crun/support/runtime.ts";
import { accepted } from "./accepted.ts";
import { differences, isAccepted } from "./compare.ts";
import { useContainers } from "./script/containers.ts";
import { useImages } from "./script/images.ts";
import { lookInside } from "./script/inside.ts";
import { usePods } from "./script/pods.ts";
import { askOfNothing } from "./script/unknown.ts";
import { createSubject, type Outcome } from "./subject.ts";
import { emptyImage, secondTag, settingsImage, testImage } from "./world.ts";

/** Over crun always; HAWSER_DIFFERENTIAL=all: over runc too, half a minute more. */
const ociRuntimes = process.env.HAWSER_DIFFERENTIAL === "all" ? (["crun", "runc"] as const) : (["crun"] as const);
const skip = (await whyNoContainerd()) ?? false;

describe("the CRI as containerd serves it", { skip, timeout: 280_000 }, () => {
  const resources = new AsyncDisposableStack();
  let registry: string;
  let theirs: Map<string, Outcome>;
  before(async () => {
    registry = await registryWithImages(resources);
    await using containerd = await startContainerd({ mirrors: { "registry.test": `http://${registry}` } });
    theirs = await record({ name: "containerd", ...containerd });
  });
  after(() => resources.disposeAsync());

  for (const ociRuntime of ociRuntimes) {
    it(`is served by us over ${ociRuntime}`, async () => {
      const root = await mkdtemp(path.join(tmpdir(), "hawser-differential-"));
      const socketPath = path.join(root, "cri.sock");
      let ours: Map<string, Outcome>;
      try {
        const images = { mirrors: { "registry.test": [`http://${registry}`] } };
        await using _runtime = await startRuntime({
          root,
          socketPath,
          ociRuntime,
          config: { ...testConfig(), images },
        });
        ours = await record({ name: "hawser", endpoint: `unix://${socketPath}`, folder: root });
      } finally {
        await removeEverything(root);
        await rm(root, { recursive: true, force: true });
      }
      const found = differences(ours, theirs);
      const expected = accepted.filter(({ ociRuntime: only = ociRuntime }) => only === ociRuntime);
      const unexpected = found.filter((difference) => !expected.some((one) => isAccepted(difference, one)));
      assert.deepEqual(unexpected, []);
      const stale = expected.filter((one) => !found.some((difference) => isAccepted(difference, one)));
      assert.deepEqual(stale, [], "these differences are no more");
    });
  }
});

async function record(runtime: Parameters<typeof createSubject>[0]): Promise<Map<string, Outcome>> {
  using subject = createSubject(runtime);
  for (const part of [askOfNothing, useImages, usePods, useContainers, lookInside]) await part(subject);
  return subject.outcomes;
}

async function registryWithImages(resources: AsyncDisposableStack): Promise<string> {
  const { host } = resources.use(await startRegistry());
  const plain: Omit<ImageOptions, "name"> = { files: { "/etc/marker": "of the image\n" } };
  const settings = {
    ...plain,
    user: "web:2000",
    env: ["PATH=/usr/bin:/bin", "OF=the image"],
    entrypoint: ["/bin/sh", "-c", 'exec "$@"', "sh"],
    cmd: ["sleep", "1000"],
    workingDir: "/home/web/made",
    stopSignal: "SIGINT",
  };
  const images: [string, Omit<ImageOptions, "name">][] = [
    [testImage, plain],
    [secondTag, plain],
    [emptyImage, { ...plain, cmd: [] }],
    [settingsImage, settings],
  ];
  for (const [name, options] of images) {
    const archive = await makeArchive({ name, ...options });
    await pushArchive({ archive: chunks(archive), reference: name.replace("registry.test", host) });
  }
  return host;
}

async function* chunks(bytes: Buffer): AsyncGenerator<Uint8Array> {
  yield bytes;
}
