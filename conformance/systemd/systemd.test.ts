// Pods as slices and containers as scopes of systemd's, where it is the host's init: `make test-systemd`, in an emulated machine.
import assert from "node:assert/strict";
import { access, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import {
  CgroupDriver,
  create,
  LinuxContainerSecurityContextSchema,
  NamespaceMode,
  NamespaceOptionSchema,
} from "@hawser/cri";
import { startRuntime } from "@hawser/runtime";
import { unified } from "../crun/support/cgroups.ts";
import { sandboxConfig, sh, startContainer, startTestRuntime, type TestRuntime } from "../crun/support/runtime.ts";
import { booted, endKubepods, gone, notBooted, run, show } from "./support/units.ts";

const own = create(NamespaceOptionSchema, { pid: NamespaceMode.CONTAINER });
const securityContext = create(LinuxContainerSecurityContextSchema, { namespaceOptions: own });
const MiB = 1024n * 1024n;

it("systemd's cgroups are refused where it is not the init, and nothing is left", { skip: booted }, async () => {
  const folder = await mkdtemp(path.join(tmpdir(), "hawser-systemd-"));
  try {
    const start = startRuntime({
      root: path.join(folder, "root"),
      socketPath: path.join(folder, "run.sock"),
      config: { cgroupDriver: "systemd" },
    });
    await assert.rejects(start, /cgroupDriver "systemd": this host was not booted with systemd/);
    assert.deepEqual(await readdir(folder), []);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

for (const ociRuntime of ["crun", "runc"] as const) {
  describe(`systemd's cgroups over ${ociRuntime}`, { timeout: 90_000, skip: notBooted }, () => {
    const systemd = { cgroupDriver: "systemd" } as const;
    let runtime: TestRuntime;
    const rpc = () => runtime.cri.runtime;
    before(async () => {
      runtime = await startTestRuntime({ ociRuntime, config: systemd });
    });
    after(() => runtime[Symbol.asyncDispose]());

    it("are what the kubelet and the node's tools are told", async () => {
      assert.equal((await rpc().runtimeConfig({})).linux?.cgroupDriver, CgroupDriver.SYSTEMD);
      const { info } = await rpc().status({ verbose: true });
      assert.equal((JSON.parse(info.config ?? "{}") as { cgroup: { driver: string } }).cgroup.driver, "systemd");
    });

    it("are slices with scopes, from a pod's start to its removal", async () => {
      const slice = `kubepods-besteffort-podtest_${ociRuntime}.slice`;
      const place = `/kubepods.slice/kubepods-besteffort.slice/${slice}`;
      const { podSandboxId, containerId } = await startContainer(
        runtime.cri,
        {
          linux: {
            securityContext,
            resources: { memoryLimitInBytes: 128n * MiB, cpuQuota: 50_000n, cpuPeriod: 100_000n },
          },
        },
        sandboxConfig({ linux: { cgroupParent: slice } }),
      );
      const scope = `hawser-${containerId}.scope`;
      const scopes = [scope, `hawser-${podSandboxId}.scope`, `hawser-conmon-${containerId}.scope`];
      for (const unit of scopes) {
        const known = await show(unit, "ActiveState", "Slice", "ControlGroup", "CollectMode");
        const { ActiveState, Slice, ControlGroup, CollectMode } = known;
        assert.deepEqual([ActiveState, Slice, ControlGroup], ["active", slice, `${place}/${unit}`], unit);
        assert.equal(CollectMode, "inactive-or-failed", `${unit} is forgotten, however it ends`);
      }
      assert.equal((await show(slice, "ActiveState")).ActiveState, "active");

      const { info } = await rpc().containerStatus({ containerId, verbose: true });
      const { pid } = JSON.parse(info.info ?? "{}") as { pid: number };
      const own = `${place}/${scope}${nested(ociRuntime)}`;
      isIn(await readFile(`/proc/${pid}/cgroup`, "utf8"), unified ? `:${own}` : `:memory:${own}`);
      if (!unified) isIn(await readFile(`/proc/${pid}/cgroup`, "utf8"), `:name=systemd:${place}/${scope}`);
      const group = { ociRuntime, place, scope };
      await limitsAre(group, { memory: 128n * MiB, quota: "500" });

      await rpc().updateContainerResources({
        containerId,
        linux: { memoryLimitInBytes: 64n * MiB, cpuQuota: 25_000n },
      });
      await limitsAre(group, { memory: 64n * MiB, quota: "250" });

      await run("systemctl", ["daemon-reload"]);
      await limitsAre(group, { memory: 64n * MiB, quota: "250" });

      for (const helper of [true, false]) {
        await runtime.restart({ ...systemd, exec: { helper } });
        const { stdout } = await sh(
          runtime.cri,
          containerId,
          `cat /proc/self/cgroup ${unified ? "/proc/1/cgroup" : ""}`,
        );
        if (unified) assert.match(stdout, /^0::\/hawser-exec-[\w-]+\n0::\/\n$/, `helper ${helper}`);
        else isIn(stdout, `:memory:${own}`);
        // crun's own exec leaves it where it was started, in the hierarchy that is systemd's alone.
        if (!unified && (helper || ociRuntime === "runc")) isIn(stdout, `:name=systemd:${place}/${scope}`);
      }
      await limitsAre(group, { memory: 64n * MiB, quota: "250" });

      const { stats } = await rpc().containerStats({ containerId });
      assert.ok((stats?.cpu?.usageCoreNanoSeconds?.value ?? 0n) > 0n && (stats?.memory?.usageBytes?.value ?? 0n) > 0n);
      const { stats: pod } = await rpc().podSandboxStats({ podSandboxId });
      const [ofPod, ofContainer] = [pod?.linux?.cpu, stats?.cpu].map((cpu) => cpu?.usageCoreNanoSeconds?.value ?? 0n);
      assert.ok(ofPod !== undefined && ofContainer !== undefined && ofPod >= ofContainer, `${ofPod} of ${ofContainer}`);
      assert.ok((pod?.linux?.process?.processCount?.value ?? 0n) >= 2n, "the pod's anchor and the container");

      await rpc().stopContainer({ containerId, timeout: 0n });
      await rpc().removeContainer({ containerId });
      await gone(scope);
      await rpc().removePodSandbox({ podSandboxId });
      for (const unit of [...scopes, slice]) await gone(unit);
      await assert.rejects(access(path.join("/sys/fs/cgroup", unified ? "" : "memory", place)), { code: "ENOENT" });
    });

    it("are made for a pod that names none", async () => {
      const { podSandboxId, containerId } = await startContainer(runtime.cri);
      const { Slice } = await show(`hawser-${containerId}.scope`, "Slice");
      assert.match(Slice ?? "", new RegExp(`^hawser_[0-9a-f]+-pod${podSandboxId}\\.slice$`));
      await rpc().removePodSandbox({ podSandboxId });
      await gone(`hawser-${containerId}.scope`);
      await gone(Slice ?? "");
    });

    it("stay a pod's until its last sandbox is removed", async () => {
      const slice = `kubepods-podtwice_${ociRuntime}.slice`;
      const start = () => startContainer(runtime.cri, {}, sandboxConfig({ linux: { cgroupParent: slice } }));
      const [first, second] = [await start(), await start()];
      await rpc().removePodSandbox({ podSandboxId: first.podSandboxId });
      assert.equal((await sh(runtime.cri, second.containerId, "echo on")).stdout, "on\n");
      await rpc().removePodSandbox({ podSandboxId: second.podSandboxId });
      await gone(slice);
    });

    it("need a slice, and paths need the other driver, which leaves what is there to its end", async () => {
      const runIn = (cgroupParent: string) =>
        rpc().runPodSandbox({ config: sandboxConfig({ linux: { cgroupParent } }) });
      await assert.rejects(runIn("/kubepods/pod1"), /systemd cgroup driver, but did not receive slice as parent/);
      const slice = `kubepods-podleft_${ociRuntime}.slice`;
      const made = await startContainer(runtime.cri, {}, sandboxConfig({ linux: { cgroupParent: slice } }));
      await runtime.restart({ cgroupDriver: "cgroupfs" });
      await assert.rejects(
        runIn("kubepods-pod1.slice"),
        /cgroupfs cgroup driver, but received systemd slice as parent/,
      );
      const { stdout } = await sh(runtime.cri, made.containerId, "echo on");
      assert.equal(stdout, "on\n");
      await rpc().removePodSandbox({ podSandboxId: made.podSandboxId });
      await gone(slice);
      await runtime.restart(systemd);
    });
  });
}

after(endKubepods);

/** crun has a cgroup of its own below the scope, and tells systemd of no limits. */
const nested = (ociRuntime: string) => (ociRuntime === "crun" ? "/container" : "");

function isIn(lines: string, end: string): void {
  assert.ok(
    lines.split("\n").some((line) => line.endsWith(end)),
    `${end} in ${lines}`,
  );
}

async function limitsAre(
  { ociRuntime, place, scope }: { ociRuntime: string; place: string; scope: string },
  { memory, quota }: { memory: bigint; quota: string },
) {
  if (!nested(ociRuntime)) {
    const known = await show(scope, "MemoryMax", "MemoryLimit", "CPUQuotaPerSecUSec");
    const told = [unified ? known.MemoryMax : known.MemoryLimit, known.CPUQuotaPerSecUSec];
    assert.deepEqual(told, [String(memory), `${quota}ms`], "as systemd has it");
  }
  const group = `${place}/${scope}${nested(ociRuntime)}`;
  const file = async (v1: string, v2: string) =>
    (
      await readFile(
        unified ? `/sys/fs/cgroup${group}/${v2}` : `/sys/fs/cgroup/${v1.replace("/", `${group}/`)}`,
        "utf8",
      )
    ).trim();
  assert.equal(await file("memory/memory.limit_in_bytes", "memory.max"), String(memory), "as the kernel has it");
  const cpu = await file("cpu/cpu.cfs_quota_us", "cpu.max");
  assert.equal(cpu, unified ? `${quota}00 100000` : `${quota}00`, "as the kernel has it");
}
