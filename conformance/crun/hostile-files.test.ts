// What an image or a container may leave on a disk to harm the runtime: pipes where files are read, and trees deeper than a path.
import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { type ContainerConfigSchema, type MessageInitShape, SecurityProfile_ProfileType } from "@hawser/cri";
import { image, sandboxConfig, sh, startContainer, startTestRuntime, type TestRuntime } from "./support/runtime.ts";

const hostile = "hawser.test/hostile:latest";
const deep = `/${"w/".repeat(15_000)}`;
/** 200 levels, 6.6 KB of path, with a file at the end and one of a name that is no text. */
const dig = `cd /tmp; for i in $(seq 200); do mkdir dddddddddddddddddddddddddddddddd && cd -P ./dddddddddddddddddddddddddddddddd; done
  echo deep > file; : > "$(printf 'a\\377b')"`;

describe("files that harm", { timeout: 60_000 }, () => {
  let runtime: TestRuntime;
  before(async () => {
    runtime = await startTestRuntime();
    await runtime.load({ name: hostile, pipes: ["etc/passwd", "etc/group"], workingDir: deep });
  });
  after(() => runtime?.[Symbol.asyncDispose]());

  it("of an image or a request fail their container alone, and leave nothing", async () => {
    const config = sandboxConfig();
    const { podSandboxId } = await runtime.cri.runtime.runPodSandbox({ config });
    let serial = 0;
    const refused = (
      init: Exclude<MessageInitShape<typeof ContainerConfigSchema>, { $typeName: string }>,
      words: RegExp,
    ) => {
      const metadata = { name: `c${++serial}`, attempt: 0 };
      const asked = { podSandboxId, config: { metadata, image: { image }, ...init }, sandboxConfig: config };
      return assert.rejects(runtime.cri.runtime.createContainer(asked), words);
    };
    const localhostRef = "/dev/zero";
    const profile = { profileType: SecurityProfile_ProfileType.Localhost, localhostRef };
    const piped = { image: { image: hostile }, workingDir: "/" };
    await Promise.all([
      // More of them than there are threads that open files.
      ...Array.from({ length: 6 }, () => refused(piped, /\/etc\/passwd of the image: is not a file/)),
      refused({ image: { image: hostile } }, /working directory has more than 4095 bytes/),
      refused({ workingDir: deep }, /working directory has more than 4095 bytes/),
      refused({ linux: { securityContext: { seccomp: profile } } }, /"\/dev\/zero": is not a file/),
    ]);
    assert.deepEqual(await readdir(path.join(runtime.root, "containers")), []);
    await runtime.cri.runtime.removePodSandbox({ podSandboxId });
  });

  it("lie deeper than a path: they are measured, and go with their container", async () => {
    const { cri, root } = runtime;
    const { podSandboxId, containerId } = await startContainer(cri);
    assert.equal((await sh(cri, containerId, dig)).exitCode, 0);
    const { stats } = await cri.runtime.listContainerStats({});
    assert.ok((stats[0]?.writableLayer?.inodesUsed?.value ?? 0n) >= 202n, "all of it is counted");
    assert.equal((await cri.runtime.podSandboxStats({ podSandboxId })).stats?.linux?.containers.length, 1);
    await cri.runtime.stopContainer({ containerId, timeout: 0n });
    await cri.runtime.removeContainer({ containerId });
    assert.deepEqual(await readdir(path.join(root, "containers")), []);
    await cri.runtime.removePodSandbox({ podSandboxId });
  });

  it("lie deeper than a path: they go with everything", async () => {
    const { containerId } = await startContainer(runtime.cri);
    assert.equal((await sh(runtime.cri, containerId, dig)).exitCode, 0);
    await runtime[Symbol.asyncDispose]();
    assert.deepEqual(
      await readdir(path.dirname(runtime.root)).then((all) => all.includes(path.basename(runtime.root))),
      false,
    );
  });
});
