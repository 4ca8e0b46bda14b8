// Pods choose their OCI runtime by their RuntimeClass' handler; what one has made stays its own, whatever the next run's default.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { run } from "@hawser/testing";
import { image, sandboxConfig, sh, startTestRuntime, type TestRuntime } from "./support/runtime.ts";
import { openExec, textOf } from "./support/session.ts";

describe("runtime handlers", { timeout: 90_000 }, () => {
  let runtime: TestRuntime;
  before(async () => {
    runtime = await startTestRuntime({ ociRuntime: "crun" });
  });
  after(() => runtime?.[Symbol.asyncDispose]());
  const rpc = () => runtime.cri.runtime;

  async function startUnder(runtimeHandler: string) {
    const config = sandboxConfig();
    const { podSandboxId } = await rpc().runPodSandbox({ config, runtimeHandler });
    const container = { metadata: { name: "main" }, image: { image } };
    const { containerId } = await rpc().createContainer({ podSandboxId, config: container, sandboxConfig: config });
    await rpc().startContainer({ containerId });
    return { podSandboxId, containerId };
  }
  const runtimeOf = async (containerId: string) => {
    const { info } = await rpc().containerStatus({ containerId, verbose: true });
    return JSON.parse(info.info ?? "{}") as {
      pid: number;
      ociRuntime: { name: string };
      runtimeSpec: { root: object };
    };
  };

  it("are named in the status, and each works", async () => {
    const { runtimeHandlers } = await rpc().status({});
    assert.deepEqual(runtimeHandlers.map(({ name }) => name).sort(), ["", "crun", "runc"]);
    for (const [handler, name] of [
      ["", "crun"],
      ["crun", "crun"],
      ["runc", "runc"],
    ] as const) {
      const { podSandboxId, containerId } = await startUnder(handler);
      try {
        const { ociRuntime, runtimeSpec } = await runtimeOf(containerId);
        assert.equal(ociRuntime.name, name);
        assert.ok(runtimeSpec.root);
        const { items } = await rpc().listPodSandbox({ filter: { id: podSandboxId } });
        assert.equal(items[0]?.runtimeHandler, handler);
        assert.equal((await sh(runtime.cri, containerId, "echo hello")).stdout, "hello\n");
        await using session = await openExec(runtime.cri, { containerId, cmd: ["echo", "streamed"] });
        assert.equal(await textOf(session.stdout), "streamed\n");
        await rpc().updateContainerResources({ containerId, linux: { cpuShares: 300n } });
        const { pid } = await runtimeOf(containerId);
        assert.match(await readFile(`/proc/${pid}/cgroup`, "utf8"), new RegExp(containerId));
        await rpc().stopContainer({ containerId, timeout: 0n });
        await rpc().removeContainer({ containerId });
      } finally {
        await rpc().removePodSandbox({ podSandboxId });
      }
    }
    await assert.rejects(rpc().runPodSandbox({ config: sandboxConfig(), runtimeHandler: "kata" }), { code: 3 });
  });

  it("keep what they have made over a restart", async () => {
    const made = await startUnder("runc");
    await runtime.restart();
    try {
      assert.equal((await runtimeOf(made.containerId)).ociRuntime.name, "runc");
      assert.equal((await sh(runtime.cri, made.containerId, "echo still")).stdout, "still\n");
    } finally {
      await rpc().removePodSandbox({ podSandboxId: made.podSandboxId });
    }
    assert.deepEqual((await rpc().listContainers({})).containers, []);
  });
});

it("without runc its handler is refused, and nothing keeps the process when the runtime is disposed of", {
  timeout: 60_000,
}, async () => {
  const hiding = 'for each in $(which -a runc); do mount --bind /dev/null "$each"; done; exec "$@"';
  const program = [process.execPath, path.join(import.meta.dirname, "support/without-runc.ts")];
  const { code, stdout, stderr } = await run(["unshare", "--mount", "sh", "-c", hiding, "sh", ...program]);
  assert.equal(code, 0, stderr);
  const [, livedOn = ""] = /^lived on for (\d+) ms$/m.exec(stdout) ?? [];
  assert.ok(livedOn !== "" && Number(livedOn) < 1000, stdout); // the shortest of our timers that could is 2 s
});
