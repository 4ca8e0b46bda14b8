import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, ContainerState, connectCRI, isUnimplemented, PodSandboxState } from "@hawser/cri";
import { startContainerd, whyNoContainerd } from "./containerd.ts";

const skip = (await whyNoContainerd()) ?? false;

test("our CRI client against Debian's containerd: a sandbox and a container through their lives", {
  skip,
}, async () => {
  await using containerd = await startContainerd();
  using cri = await connectCRI({ endpoint: containerd.endpoint });
  assert.equal(cri.runtimeName, "containerd");
  assert.equal(cri.apiVersion, "v1");

  const config = {
    metadata: { name: "p", namespace: "default", uid: "u-1", attempt: 0 },
    logDirectory: `${containerd.folder}/logs`,
    labels: { a: "b" },
    linux: { cgroupParent: `${containerd.cgroupParent}/p`, securityContext: { namespaceOptions: {} } },
  };
  const { podSandboxId } = await cri.runtime.runPodSandbox({ config });
  const sandbox = (await cri.runtime.podSandboxStatus({ podSandboxId })).status;
  assert.equal(sandbox?.state, PodSandboxState.SANDBOX_READY);
  assert.match(sandbox?.network?.ip ?? "", /^10\./);
  assert.deepEqual(sandbox?.labels, { a: "b" });

  const { containerId } = await cri.runtime.createContainer({
    podSandboxId,
    config: {
      metadata: { name: "c" },
      image: { image: containerd.image },
      command: ["sleep", "1000"],
      envs: [{ key: "K", value: Buffer.from("v") }],
      logPath: "c.log",
      linux: { resources: { cpuShares: 102n, memoryLimitInBytes: 64n * 1024n * 1024n } },
    },
    sandboxConfig: config,
  });
  await cri.runtime.startContainer({ containerId });
  const answer = await cri.runtime.execSync({
    containerId,
    cmd: ["sh", "-c", "echo $K; echo bad >&2; exit 3"],
    timeout: 10n,
  });
  assert.equal(Buffer.from(answer.stdout).toString(), "v\n");
  assert.equal(Buffer.from(answer.stderr).toString(), "bad\n");
  assert.equal(answer.exitCode, 3);
  const { url } = await cri.runtime.exec({ containerId, cmd: ["true"], stdout: true });
  assert.match(url, /^http:\/\/127\.0\.0\.1:\d+\/exec\//);

  await assert.rejects(cri.runtime.containerStatus({ containerId: "none" }), { code: Code.NotFound });
  await assert.rejects(cri.runtime.runtimeConfig({}), isUnimplemented);

  await cri.runtime.stopContainer({ containerId, timeout: 0n });
  const { status } = await cri.runtime.containerStatus({ containerId });
  assert.equal(status?.state, ContainerState.CONTAINER_EXITED);
  assert.equal(status?.exitCode, 137);
  await cri.runtime.stopPodSandbox({ podSandboxId });
  await cri.runtime.removePodSandbox({ podSandboxId });
  assert.equal((await cri.runtime.listPodSandbox({})).items.length, 0);
});
