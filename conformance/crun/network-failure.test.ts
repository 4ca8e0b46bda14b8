// A CNI plugin that cannot take its part of a pod away: all the rest goes, the caller hears of it, and the next try finds what is left.
import assert from "node:assert/strict";
import { mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { it } from "node:test";
import { ContainerState, PodSandboxState } from "@hawser/cri";
import { removeEverything } from "@hawser/runtime";
import { eventually, freePort } from "@hawser/testing";
import { difference, inventory } from "../faults/support/inventory.ts";
import { sandboxConfig, startContainer, startTestRuntime } from "./support/runtime.ts";

const plugins = "/usr/lib/cni";

it("what a plugin does not give back keeps nothing else", { timeout: 60_000 }, async () => {
  await using stack = new AsyncDisposableStack();
  const binDir = await mkdtemp(path.join(tmpdir(), "hawser-cni-"));
  stack.defer(() => rm(binDir, { recursive: true }));
  for (const name of ["bridge", "host-local", "loopback"])
    await symlink(path.join(plugins, name), path.join(binDir, name));
  const ill = path.join(binDir, "ill");
  const worse = path.join(binDir, "worse");
  const script = `#!/bin/sh\n[ -e ${worse} ] && echo '{"msg":"nothing works"}' && exit 1\n[ $CNI_COMMAND = DEL ] && [ -e ${ill} ] && echo '{"msg":"ports are stuck"}' && exit 1\nexec ${plugins}/portmap`;
  await writeFile(path.join(binDir, "portmap"), script, { mode: 0o755 });

  const runtime = await startTestRuntime({ config: { cniBinDir: binDir } });
  const end = async () => await runtime[Symbol.asyncDispose]();
  stack.defer(async () => {
    await rm(ill, { force: true });
    await end().catch(() => undefined); // the second time
    await removeEverything(runtime.root);
    await rm(runtime.root, { recursive: true });
  });
  const pod = async () => {
    const mapping = { containerPort: 80, hostPort: await freePort() };
    return await startContainer(runtime.cri, {}, sandboxConfig({ portMappings: [mapping] }));
  };
  const rpc = runtime.cri.runtime;
  const told = { message: /portmap, DEL: ports are stuck/ };
  await rpc.removePodSandbox(await pod()); // bridge and rules stay from now on
  const baseline = await inventory(runtime.root);

  const { podSandboxId, containerId } = await pod();
  await writeFile(ill, "");
  await assert.rejects(rpc.stopPodSandbox({ podSandboxId }), told);
  assert.equal((await rpc.podSandboxStatus({ podSandboxId })).status?.state, PodSandboxState.SANDBOX_NOTREADY);
  assert.equal((await rpc.containerStatus({ containerId })).status?.state, ContainerState.CONTAINER_EXITED);
  await assert.rejects(rpc.removePodSandbox({ podSandboxId }), told);
  await assert.rejects(rpc.containerStatus({ containerId }), { code: 5 });
  const left = difference(baseline, await inventory(runtime.root)).filter((line) =>
    /mount|interface|netns|process/.test(line),
  );
  assert.deepEqual(left, []);
  await rm(ill);
  await rpc.removePodSandbox({ podSandboxId });
  assert.deepEqual(difference(baseline, await inventory(runtime.root)), []);

  // Of a pod that could not be made nobody knows but the runtime: it tries again.
  await writeFile(worse, "");
  await assert.rejects(pod(), { message: /portmap, ADD: nothing works/ });
  assert.notDeepEqual(difference(baseline, await inventory(runtime.root)), []);
  await rm(worse);
  await eventually(async () => difference(baseline, await inventory(runtime.root)).length === 0, { everyMs: 200 });

  // Nobody can say when a plugin that was uninstalled is there again.
  for (const missing of ["portmap", "bridge", "host-local"]) {
    const gone = path.join(binDir, missing);
    const { podSandboxId: id } = await pod();
    await rename(gone, `${gone}.away`);
    await rpc.removePodSandbox({ podSandboxId: id });
    assert.deepEqual(difference(baseline, await inventory(runtime.root)), [], missing);
    await assert.rejects(pod(), { message: new RegExp(`CNI plugin ${missing} is not in ${binDir}`) });
    await rename(`${gone}.away`, gone);
  }
  assert.deepEqual(difference(baseline, await inventory(runtime.root)), []);

  // A root that goes does without a plugin that fails, too. Where that fails as well, it is told of, and tried again.
  await pod();
  await writeFile(ill, "");
  const way = process.env.PATH;
  await writeFile(path.join(binDir, "iptables"), "#!/bin/sh\necho locked >&2; exit 4\n", { mode: 0o755 });
  process.env.PATH = `${binDir}:${way}`;
  try {
    const stuck = {
      name: "NetworkRemainsError",
      message: /host ports \d+\/tcp of pod .*ports are stuck; nor .*locked/,
    };
    await assert.rejects(end(), stuck);
    const rest = await inventory(runtime.root);
    assert.deepEqual(
      rest.filter((line) => /^(mount|interface|cgroup|process)/.test(line)),
      [],
    );
    await assert.rejects(removeEverything(runtime.root), stuck);
  } finally {
    process.env.PATH = way;
  }
  await removeEverything(runtime.root);
  const rest = await inventory(runtime.root);
  assert.deepEqual(
    rest.filter((line) => /^(mount|interface|cgroup|process|rule)/.test(line)),
    [],
  );
  await removeEverything(runtime.root);
});
