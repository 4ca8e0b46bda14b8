// A whole cluster whose pods' cgroups are systemd's, by `hawser up` and the genuine kubectl 1.20: `make test-systemd`.
import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, it } from "node:test";
import { type CommandResult, checkout, eventually, freePort, kubectls, run, runKubectl } from "@hawser/testing";
import { clusterPaths } from "hawser";
import { mirrorConfig } from "../../e2e/own-cluster.ts";
import { residue } from "../../e2e/residue.ts";
import { cgroupRoot, sliceOfRoot } from "../../packages/hawser/src/cluster/cgroups.ts";
import { registryWithImages } from "../../scripts/registry-with-images.ts";
import { unified } from "../crun/support/cgroups.ts";
import { cgroupsWith, gone, notBooted, show, units } from "./support/units.ts";

const program = path.join(checkout, "packages/hawser/bin/hawser.cjs");
/** In the emulated machine ten times as long. Of a whole command, which may wait for a pod. */
const patience = 60_000;

describe("a cluster with systemd's cgroups", { timeout: 150_000, skip: notBooted }, () => {
  it("has pods as slices and containers as scopes, for kubectl 1.20 too; after down nothing stays", async () => {
    await using cleanup = new AsyncDisposableStack();
    const folder = await mkdtemp(path.join(tmpdir(), "hawser-systemd-"));
    cleanup.defer(() => rm(folder, { recursive: true, force: true }));
    const registry = cleanup.use(await registryWithImages(undefined, ["busybox"]));
    const config = await mirrorConfig(folder, registry, { cgroupDriver: "systemd" });
    const dataDir = path.join(folder, "data");
    const hawser = (...args: string[]) =>
      run([process.execPath, program, ...args, "--data-dir", dataDir], { timeoutMs: patience });
    let down = false;
    cleanup.defer(async () => void (down || (await hawser("down"))));

    const ports = ["--api-port", String(await freePort()), "--kubelet-port", String(await freePort())];
    ok(await hawser("up", ...ports, "--runtime-config", config));
    const oldest = (await kubectls())[0];
    assert.equal(oldest?.version, "1.20");
    const kubeconfig = path.join(dataDir, "kubeconfig");
    const kubectl = async (...args: string[]) =>
      ok(await runKubectl(oldest, args, { kubeconfig, timeoutMs: patience }));
    const runPod = async (name: string, ...flags: string[]) => {
      await kubectl("run", name, "--image=busybox", ...flags, "--", "sleep", "100000");
      await kubectl("wait", "--for=condition=Ready", `pod/${name}`, "--timeout=600s");
      const pod = JSON.parse(await kubectl("get", "pod", name, "-o", "json")) as Pod;
      const id = pod.status.containerStatuses[0]?.containerID.split("//")[1] ?? "";
      return { uid: pod.metadata.uid.replaceAll("-", "_"), scope: `hawser-${id}.scope` };
    };

    const root = sliceOfRoot(cgroupRoot(clusterPaths(dataDir))).slice(0, -".slice".length);
    const web = await runPod("web", "--limits=memory=64Mi");
    const slice = `${root}-kubepods-burstable-pod${web.uid}.slice`;
    const { ActiveState, Slice, ControlGroup } = await show(web.scope, "ActiveState", "Slice", "ControlGroup");
    const place = `/${root}.slice/${root}-kubepods.slice/${root}-kubepods-burstable.slice/${slice}/${web.scope}`;
    assert.deepEqual([ActiveState, Slice, ControlGroup], ["active", slice, place]);
    const said = await kubectl("exec", "web", "--", "cat", "/proc/self/cgroup");
    if (unified) assert.match(said, /^0::\/hawser-exec-[\w-]+\n$/);
    else assert.ok(said.includes(`:memory:${place}/container\n`), said);

    await kubectl("delete", "pod", "web", "--grace-period=1");
    for (const unit of [web.scope, slice]) await gone(unit);
    await eventually("the pod's cgroups are gone", async () => (await cgroupsWith(slice)).length === 0);

    const stays = await runPod("stays");
    assert.equal((await show(stays.scope, "Slice")).Slice, `${root}-kubepods-besteffort-pod${stays.uid}.slice`);
    ok(await hawser("down"));
    down = true;
    assert.deepEqual(await units(`${root}*`, stays.scope, "hawser-conmon-*"), []);
    assert.deepEqual(await cgroupsWith(root), []);
    assert.deepEqual(await residue(dataDir), []);
    assert.equal((await readdir(folder)).includes("data"), false);
  });
});

interface Pod {
  metadata: { uid: string };
  status: { containerStatuses: { containerID: string }[] };
}

function ok({ code, stdout, stderr }: CommandResult): string {
  assert.equal(code, 0, `${stdout}${stderr}`);
  return stdout;
}
