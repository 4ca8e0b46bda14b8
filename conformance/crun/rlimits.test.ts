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
