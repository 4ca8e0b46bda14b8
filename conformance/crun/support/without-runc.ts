// A runtime on a node without runc, in a process of its own: works with crun, refuses runc's handler, and ends. Says how long the
// process lives on once the runtime is disposed of, milliseconds. Run in a mount namespace of its own, where runc is hidden.
import assert from "node:assert/strict";
import { sandboxConfig, sh, startContainer, startTestRuntime } from "./runtime.ts";

{
  await using runtime = await startTestRuntime();
  const { runtime: rpc } = runtime.cri;
  const { runtimeHandlers } = await rpc.status({});
  assert.deepEqual(runtimeHandlers.map(({ name }) => name).sort(), ["", "crun"]);
  await assert.rejects(rpc.runPodSandbox({ config: sandboxConfig(), runtimeHandler: "runc" }), { code: 3 });
  const { podSandboxId, containerId } = await startContainer(runtime.cri);
  assert.equal((await sh(runtime.cri, containerId, "echo hello")).stdout, "hello\n");
  await rpc.removePodSandbox({ podSandboxId });
}
const disposed = performance.now();
process.on("exit", () => console.log(`lived on for ${Math.round(performance.now() - disposed)} ms`));
