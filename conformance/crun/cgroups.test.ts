// Containers' cgroups, as the kernel has them: on this machine's kind of cgroups, and by `make test-cgroup-v2` on the other.
import assert from "node:assert/strict";
import { glob, mkdir, readdir, readFile, rmdir } from "node:fs/promises";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import {
  create,
  DeviceSchema,
  LinuxContainerSecurityContextSchema,
  NamespaceMode,
  NamespaceOptionSchema,
  PodSandboxState,
} from "@hawser/cri";
import { eventually } from "@hawser/testing";
import { cgroupFile, cgroupOf, unified } from "./support/cgroups.ts";
import { sandboxConfig, sh, startContainer, startTestRuntime, type TestRuntime } from "./support/runtime.ts";

const own = create(NamespaceOptionSchema, { pid: NamespaceMode.CONTAINER });
const securityContext = create(LinuxContainerSecurityContextSchema, { namespaceOptions: own });
const MiB = 1024n * 1024n;
const files = {
  weight: { v1: "cpu/cpu.shares", v2: "cpu.weight" },
  quota: { v1: "cpu/cpu.cfs_quota_us", v2: "cpu.max" },
  memory: { v1: "memory/memory.limit_in_bytes", v2: "memory.max" },
  cpus: { v1: "cpuset/cpuset.cpus", v2: "cpuset.cpus" },
};

/** As kubelets limit every container that asks for none, whether or not there is a controller. Source: kubernetes pkg/kubelet/kuberuntime */
async function noHugePages() {
  const names = await readdir("/sys/kernel/mm/hugepages").catch(() => []);
  return names.map((name) => {
    const MB = Number(/\d+/.exec(name)?.[0]) / 1024;
    return { pageSize: MB < 1024 ? `${MB}MB` : `${MB / 1024}GB`, limit: 0n };
  });
}

for (const ociRuntime of ["crun", "runc"] as const) {
  describe(`cgroups over ${ociRuntime}`, { timeout: 90_000 }, () => {
    let runtime: TestRuntime;
    const rpc = () => runtime.cri.runtime;
    before(async () => {
      runtime = await startTestRuntime({ ociRuntime });
    });
    after(() => runtime?.[Symbol.asyncDispose]());

    it("have the limits that were asked for, and those of an update", async () => {
      const { podSandboxId, containerId } = await startContainer(runtime.cri, {
        linux: {
          securityContext,
          resources: {
            ...{ cpuShares: 512n, cpuQuota: 50_000n, cpuPeriod: 100_000n, cpusetCpus: "0" },
            memoryLimitInBytes: 128n * MiB,
            unified: unified ? { "pids.max": "77", "memory.high": String(100n * MiB) } : {},
            hugepageLimits: await noHugePages(),
          },
        },
      });
      const limits = async () =>
        Object.fromEntries(
          await Promise.all(
            Object.entries(files).map(async ([name, file]) => [name, await cgroupFile(containerId, file)]),
          ),
        );
      const only = async (name: string) => await cgroupFile(containerId, { v1: `memory/${name}`, v2: name });
      const memory = String(128n * MiB);
      const weight = unified ? "20" : "512"; // 1 + (512 - 2) * 9999 / 262142
      assert.deepEqual(await limits(), { weight, quota: unified ? "50000 100000" : "50000", memory, cpus: "0" });
      if (unified) {
        assert.deepEqual([await only("pids.max"), await only("memory.high")], ["77", String(100n * MiB)]);
        assert.equal(await only("memory.swap.max"), "0", "a memory limit is one for swap too");
        const { stdout } = await sh(runtime.cri, containerId, "cat /sys/fs/cgroup/memory.max; cat /proc/1/cgroup");
        assert.equal(stdout, `${memory}\n0::/\n`, "a namespace of its own, that begins at its own cgroup");
      }
      await rpc().updateContainerResources({
        containerId,
        linux: { cpuQuota: 25_000n, memoryLimitInBytes: 64n * MiB, unified: unified ? { "pids.max": "78" } : {} },
      });
      const less = { weight, quota: unified ? "25000 100000" : "25000", memory: String(64n * MiB), cpus: "0" };
      assert.deepEqual(await limits(), less);
      if (unified) {
        assert.equal(await only("pids.max"), "78");
        await rpc().updateContainerResources({ containerId, linux: { cpuQuota: -1n } });
        assert.deepEqual(await limits(), { ...less, quota: "max 100000" }, "no quota any more");
      }
      await rpc().removePodSandbox({ podSandboxId });
    });

    it("tell what is used", async () => {
      const { podSandboxId, containerId } = await startContainer(runtime.cri);
      await sh(runtime.cri, containerId, "head -c 20000000 /dev/zero >/tmp/file; seq 20000 | tail -1");
      const { stats } = await rpc().containerStats({ containerId });
      assert.ok((stats?.cpu?.usageCoreNanoSeconds?.value ?? 0n) > 1_000_000n, "nanoseconds");
      const { usageBytes, workingSetBytes, rssBytes, pageFaults } = stats?.memory ?? {};
      assert.ok((workingSetBytes?.value ?? 0n) > 0n && (rssBytes?.value ?? 0n) > 0n);
      assert.ok((usageBytes?.value ?? 0n) >= (workingSetBytes?.value ?? 0n));
      assert.ok((pageFaults?.value ?? 0n) > 0n);
      const { stats: pod } = await rpc().podSandboxStats({ podSandboxId });
      assert.ok(
        (pod?.linux?.cpu?.usageCoreNanoSeconds?.value ?? 0n) >= (stats?.cpu?.usageCoreNanoSeconds?.value ?? 0n),
      );
      assert.ok((pod?.linux?.process?.processCount?.value ?? 0n) >= 2n, "the pod's anchor and the container");
      await rpc().removePodSandbox({ podSandboxId });
    });

    it("hold execs, however they come in, and let them go", async () => {
      const { podSandboxId, containerId } = await startContainer(runtime.cri, {
        linux: { securityContext, resources: { memoryLimitInBytes: 128n * MiB } },
      });
      const directory = await cgroupOf(containerId, "memory");
      const groupsBelow = async () =>
        (await readdir(directory, { withFileTypes: true })).filter((one) => one.isDirectory());
      for (const helper of [true, false]) {
        await runtime.restart({ exec: { helper } });
        const running = sh(runtime.cri, containerId, "cat /proc/self/cgroup; cat /proc/1/cgroup; sleep 0.5");
        if (unified) {
          const [group] = await eventually(async () => {
            const found = await groupsBelow();
            return found.length > 0 && found;
          });
          const inGroup = async () => await readFile(path.join(directory, group?.name ?? "", "cgroup.procs"), "utf8");
          await eventually(async () => (await inGroup()).trim() !== "");
        }
        const { stdout } = await running;
        const own = stdout.split("\n").filter((line) => line.includes(unified ? "0::" : ":memory:"));
        if (unified) assert.match(own.join("\n"), /^0::\/hawser-exec-[\w-]+\n0::\/$/, "below its container's");
        else assert.equal(own[0], own[1], "its container's");
        await eventually(async () => (await groupsBelow()).length === 0);
      }
      await runtime.restart({});
      await rpc().removePodSandbox({ podSandboxId });
    });

    it("limit the devices", async () => {
      const { podSandboxId, containerId } = await startContainer(runtime.cri, {
        devices: [create(DeviceSchema, { hostPath: "/dev/fuse", containerPath: "/dev/mine", permissions: "r" })],
      });
      const open = "(: </dev/mine) && echo read; (: >/dev/mine) || echo not written; : >/dev/null && echo null";
      for (const helper of [true, false]) {
        await runtime.restart({ exec: { helper } });
        const { stdout, stderr } = await sh(runtime.cri, containerId, open);
        assert.equal(stdout, "read\nnot written\nnull\n");
        assert.match(stderr, /not permitted/);
      }
      await runtime.restart({});
      await rpc().removePodSandbox({ podSandboxId });
    });

    it("stay a pod's until its last sandbox is removed, and are none of systemd's", async () => {
      const linux = { cgroupParent: `/hawser-test-${process.pid}` };
      const [first, second] = [sandboxConfig({ linux }), sandboxConfig({ linux })];
      const { podSandboxId: old } = await rpc().runPodSandbox({ config: first });
      const { podSandboxId, containerId } = await startContainer(runtime.cri, {}, second);
      await rpc().removePodSandbox({ podSandboxId: old });
      assert.equal((await sh(runtime.cri, containerId, "echo on")).stdout, "on\n");
      await rpc().removePodSandbox({ podSandboxId });
      const left = () => Array.fromAsync(glob(`/sys/fs/cgroup/{*,}${linux.cgroupParent}`));
      assert.deepEqual(await left(), []);
      const both: string[] = [];
      for (const config of [first, second]) both.push((await rpc().runPodSandbox({ config })).podSandboxId);
      await Promise.all(both.map((podSandboxId) => rpc().removePodSandbox({ podSandboxId })));
      assert.deepEqual(await left(), [], "removed at once");
      let { podSandboxId: there } = await rpc().runPodSandbox({ config: first });
      for (const config of [second, first]) {
        await rpc().stopPodSandbox({ podSandboxId: there });
        const made = rpc().runPodSandbox({ config });
        made.catch(() => undefined); // it is waited for below
        // In the midst of it: its pause process is there, and its network hardly yet.
        await eventually(
          async () => (await Array.fromAsync(glob(`/sys/fs/cgroup/{*,}${linux.cgroupParent}/*/`))).length > 0,
        );
        await rpc().removePodSandbox({ podSandboxId: there });
        there = (await made).podSandboxId;
        const own = await Array.fromAsync(glob(`/sys/fs/cgroup/{*,}${linux.cgroupParent}/${there}`));
        assert.ok(own.length > 0, "made while the old one is removed");
      }
      await rpc().removePodSandbox({ podSandboxId: there });
      assert.deepEqual(await left(), [], "one after the other");
      const slice = sandboxConfig({ linux: { cgroupParent: "kubepods-pod1.slice" } });
      await assert.rejects(
        rpc().runPodSandbox({ config: slice }),
        /cgroupfs cgroup driver, but received systemd slice/,
      );
    });

    it("go with what was made above them, when nothing is in it; what was there stays", async () => {
      const top = `/hawser-test-${process.pid}`;
      const left = async () => await Array.fromAsync(glob(`/sys/fs/cgroup/{,*/}${top.slice(1)}{,/**/}`));
      const groups = async () => (await left()).map((found) => found.replace(/\/$/, "")).sort();
      const run = async (cgroupParent: string) =>
        (await rpc().runPodSandbox({ config: sandboxConfig({ linux: { cgroupParent } }) })).podSandboxId;
      const remove = (podSandboxId: string) => rpc().removePodSandbox({ podSandboxId });
      const first = await run(`${top}/a/b`);
      const second = await run(`${top}/a/c`);
      await remove(first);
      assert.ok((await groups()).some((found) => found.endsWith(`${top}/a/c`)));
      await runtime.restart();
      await remove(second);
      assert.deepEqual(await groups(), []);
      // Somebody has made one of them before, and somebody one in ours meanwhile.
      const hierarchy = unified ? "/sys/fs/cgroup" : "/sys/fs/cgroup/pids";
      const [theirs, within] = [`${hierarchy}${top}`, `${hierarchy}${top}/a/within`];
      await mkdir(theirs);
      try {
        const third = await run(`${top}/a/b`);
        await mkdir(within);
        await remove(third);
        assert.deepEqual(await groups(), [theirs, path.dirname(within), within]);
        await rmdir(within);
        await rmdir(path.dirname(within));
        await remove(await run(`${top}/a/b`));
        assert.deepEqual(await groups(), [theirs]);
        // A pod in what was made for another's, or whose own is above another's, when the one that came first goes first.
        for (const parents of [
          [`${top}/a/b`, `${top}/a`],
          [`${top}/a`, `${top}/a/b`],
        ]) {
          const made: string[] = [];
          for (const parent of parents) made.push(await run(parent));
          const [goes = "", stays = ""] = made;
          await remove(goes);
          const { status } = await rpc().podSandboxStatus({ podSandboxId: stays });
          assert.equal(status?.state, PodSandboxState.SANDBOX_READY);
          await remove(stays);
          assert.deepEqual(await groups(), [theirs]);
        }
      } finally {
        await rmdir(theirs);
      }
    });

    it("go with all that is in them, also what has left its first process", async () => {
      const namespaceOptions = create(NamespaceOptionSchema, { pid: NamespaceMode.NODE });
      const linux = { securityContext: create(LinuxContainerSecurityContextSchema, { namespaceOptions }) };
      const { podSandboxId, containerId } = await startContainer(
        runtime.cri,
        { linux, command: ["sh", "-c", "setsid sleep 100000 & setsid sleep 100000 & wait"] },
        sandboxConfig({ linux: { securityContext: { namespaceOptions } } }),
      );
      const directory = await cgroupOf(containerId, "pids");
      const pids = async () =>
        (await readFile(path.join(directory, "cgroup.procs"), "utf8")).split("\n").filter(Boolean);
      const all = await eventually(async () => {
        const found = await pids();
        return found.length === 3 && found;
      });
      await rpc().stopContainer({ containerId, timeout: 0n });
      await rpc().removeContainer({ containerId });
      for (const pid of all) {
        await eventually(async () => /\) [ZX]/.test(await readFile(`/proc/${pid}/stat`, "utf8").catch(() => ") X")));
      }
      await assert.rejects(readdir(directory), { code: "ENOENT" });
      await rpc().removePodSandbox({ podSandboxId });
    });
  });
}
