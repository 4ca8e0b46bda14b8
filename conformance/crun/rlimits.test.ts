// Limits of containers' processes that the configuration sets, as the container sees them. Needs root, crun and conmon.
import assert from "node:assert/strict";
import { it } from "node:test";
import { NamespaceMode } from "@hawser/cri";
import { sh, startContainer, startTestRuntime } from "./support/runtime.ts";

const ask = "ulimit -Sn; ulimit -Hn; ulimit -c; grep 'open files' /proc/1/limits";
/** Its first process is its own number 1. */
const linux = { securityContext: { namespaceOptions: { pid: NamespaceMode.CONTAINER } } };

// Over crun: the exec of runc 1.1 raises the soft limit of files, as Go programs do.
it("rlimits of the configuration are those of containers and of what is executed in them", async () => {
  await using runtime = await startTestRuntime({
    ociRuntime: "crun",
    config: { rlimits: { nofile: "300:400", core: 0 } },
  });
  const { podSandboxId, containerId } = await startContainer(runtime.cri, { linux });
  const seen = async () => (await sh(runtime.cri, containerId, ask)).stdout.replaceAll(/ +/g, " ");
  const want = "300\n400\n0\nMax open files 300 400 files \n";
  assert.equal(await seen(), want);
  await runtime.restart({ exec: { helper: false } }); // the container keeps what it was made with
  assert.equal(await seen(), want);
  await runtime.cri.runtime.removePodSandbox({ podSandboxId });
});

it("a user's limit of processes leaves an exec as many as the container's own process has", async () => {
  await using runtime = await startTestRuntime({ ociRuntime: "crun", config: { rlimits: { nproc: 2 } } });
  // The sleep is one, the exec the other. Counted by user over the whole node: nobody else is this one.
  const runAsUser = { value: 54_321n };
  const { podSandboxId, containerId } = await startContainer(runtime.cri, {
    command: ["sleep", "1000"],
    linux: { ...linux, securityContext: { ...linux.securityContext, runAsUser } },
  });
  for (const helper of [true, false]) {
    await runtime.restart({ exec: { helper } });
    const { exitCode, stderr } = await sh(runtime.cri, containerId, "true");
    assert.deepEqual({ helper, exitCode, stderr: stderr.length > 0 }, { helper, exitCode: 0, stderr: false });
  }
  await runtime.cri.runtime.removePodSandbox({ podSandboxId });
});
