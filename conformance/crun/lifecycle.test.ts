import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { ContainerState, create, NamespaceMode, NamespaceOptionSchema, PodSandboxState, Signal } from "@hawser/cri";
import { eventually } from "@hawser/testing";
import { image, sandboxConfig, sh, startContainer, startTestRuntime, type TestRuntime } from "./support/runtime.ts";

for (const ociRuntime of ["crun", "runc"] as const) {
  describe(`sandboxes and containers over ${ociRuntime}`, { timeout: 90_000 }, () => {
    let runtime: TestRuntime;
    let logs: string;
    const rpc = () => runtime.cri.runtime;
    const statusOf = async (containerId: string) => {
      const { status } = await rpc().containerStatus({ containerId });
      assert.ok(status);
      return status;
    };
    const ended = (containerId: string) =>
      eventually(async () => {
        const status = await statusOf(containerId);
        return status.state === ContainerState.CONTAINER_EXITED && status;
      });

    const stack = new AsyncDisposableStack();
    before(async () => {
      logs = await mkdtemp(path.join(tmpdir(), "hawser-logs-"));
      stack.defer(() => rm(logs, { recursive: true }));
      runtime = stack.use(await startTestRuntime({ ociRuntime }));
    });
    after(() => stack.disposeAsync());

    it("says who it is, and that it is ready", async () => {
      const version = await rpc().version({ version: "v1" });
      assert.deepEqual([version.runtimeName, version.runtimeApiVersion], ["hawser", "v1"]);
      const { status, info } = await rpc().status({ verbose: true });
      assert.deepEqual(
        status?.conditions.map(({ type, status: ok }) => [type, ok]),
        [
          ["RuntimeReady", true],
          ["NetworkReady", true],
        ],
      );
      const { ociRuntime: chosen } = JSON.parse(info.config ?? "{}");
      assert.equal(chosen.name, ociRuntime);
      assert.match(chosen.reason, /asked for/);
      assert.match(info.metrics ?? "", /hawser_runtime_operations_total\{operation="Version"\}/);
    });

    it("runs, stops and removes a sandbox, each twice", async () => {
      const config = sandboxConfig({ labels: { app: "a" }, annotations: { note: "n" } });
      const { podSandboxId } = await rpc().runPodSandbox({ config });
      await assert.rejects(rpc().runPodSandbox({ config }), { code: 6 });
      const { status } = await rpc().podSandboxStatus({ podSandboxId });
      assert.equal(status?.state, PodSandboxState.SANDBOX_READY);
      assert.match(status?.network?.ip ?? "", /^10\.1\d\d\./);
      assert.deepEqual([status?.labels, status?.annotations], [{ app: "a" }, { note: "n" }]);
      const listed = await rpc().listPodSandbox({ filter: { labelSelector: { app: "a" } } });
      assert.deepEqual(
        listed.items.map(({ id }) => id),
        [podSandboxId],
      );
      for (let n = 0; n < 2; n++) await rpc().stopPodSandbox({ podSandboxId });
      const stopped = await rpc().podSandboxStatus({ podSandboxId });
      assert.equal(stopped.status?.state, PodSandboxState.SANDBOX_NOTREADY);
      for (let n = 0; n < 2; n++) await rpc().removePodSandbox({ podSandboxId });
      await assert.rejects(rpc().podSandboxStatus({ podSandboxId }), { code: 5 });
      await rpc().stopPodSandbox({ podSandboxId });
    });

    it("takes a container from created to removed, with its times and exit code", async () => {
      const config = sandboxConfig();
      const { podSandboxId } = await rpc().runPodSandbox({ config });
      const { containerId } = await rpc().createContainer({
        podSandboxId,
        config: { metadata: { name: "c", attempt: 3 }, image: { image }, command: ["sh", "-c", "sleep 0.2; exit 5"] },
        sandboxConfig: config,
      });
      assert.equal((await statusOf(containerId)).state, ContainerState.CONTAINER_CREATED);
      await rpc().startContainer({ containerId });
      const running = await statusOf(containerId);
      assert.equal(running.state, ContainerState.CONTAINER_RUNNING);
      assert.deepEqual([running.metadata?.name, running.metadata?.attempt], ["c", 3]);
      await assert.rejects(rpc().startContainer({ containerId }), { code: 9 });
      const done = await ended(containerId);
      assert.deepEqual([done.exitCode, done.reason], [5, "Error"]);
      assert.ok(done.createdAt < done.startedAt && done.startedAt < done.finishedAt);
      for (let n = 0; n < 2; n++) await rpc().removeContainer({ containerId });
      await assert.rejects(rpc().containerStatus({ containerId }), { code: 5 });
      await rpc().removePodSandbox({ podSandboxId });
    });

    it("stops with the stop signal, and kills after the grace", async () => {
      const polite = await startContainer(runtime.cri, {
        command: ["sh", "-c", "trap 'exit 9' TERM; echo >/tmp/up; while :; do sleep 0.02; done"],
      });
      const trapStands = ({ containerId }: { containerId: string }) =>
        eventually(async () => (await sh(runtime.cri, containerId, "cat /tmp/up")).exitCode === 0);
      await trapStands(polite);
      await rpc().stopContainer({ containerId: polite.containerId, timeout: 10n });
      assert.equal((await statusOf(polite.containerId)).exitCode, 9);
      const deaf = await startContainer(runtime.cri, {
        command: ["sh", "-c", "trap '' TERM; echo >/tmp/up; while :; do sleep 1; done"],
      });
      await trapStands(deaf);
      const started = performance.now();
      await rpc().stopContainer({ containerId: deaf.containerId, timeout: 1n });
      assert.equal((await statusOf(deaf.containerId)).exitCode, 137);
      assert.ok(performance.now() - started < 9_000, "not the 10 s of the one before");
      await rpc().stopContainer({ containerId: deaf.containerId, timeout: 1n });
      await rpc().stopContainer({ containerId: "unknown", timeout: 1n });
      for (const { podSandboxId } of [polite, deaf]) await rpc().removePodSandbox({ podSandboxId });
    });

    it("removes running containers with their sandbox, by force", async () => {
      const { podSandboxId, containerId } = await startContainer(runtime.cri);
      await rpc().stopPodSandbox({ podSandboxId });
      assert.equal((await statusOf(containerId)).exitCode, 137);
      await rpc().removePodSandbox({ podSandboxId });
      await assert.rejects(rpc().containerStatus({ containerId }), { code: 5 });
    });

    it("says why a command cannot be run, and leaves nothing", async () => {
      const config = sandboxConfig();
      const { podSandboxId } = await rpc().runPodSandbox({ config });
      const order = { podSandboxId, sandboxConfig: config };
      const base = { metadata: { name: "c", attempt: 0 }, image: { image } };
      await assert.rejects(rpc().createContainer({ ...order, config: { ...base, command: ["nope"] } }), /nope/);
      await assert.rejects(rpc().createContainer({ ...order, config: { ...base, image: { image: "none" } } }), {
        code: 5,
      });
      const { containers } = await rpc().listContainers({ filter: { podSandboxId } });
      assert.deepEqual(containers, []);
      await rpc().removePodSandbox({ podSandboxId });
      await assert.rejects(rpc().createContainer({ ...order, config: base }), { code: 5 });
    });

    it("writes logs in the CRI's format, and reopens them", async () => {
      const sandbox = sandboxConfig({ logDirectory: logs });
      const { podSandboxId, containerId } = await startContainer(
        runtime.cri,
        {
          command: ["sh", "-c", "echo one; echo two >&2; printf part; while sleep 0.05; do echo tick; done"],
          logPath: "c/0.log",
        },
        sandbox,
      );
      const file = path.join(logs, "c/0.log");
      const text = await eventually(async () => {
        const lines = await readFile(file, "utf8").catch(() => "");
        return lines.includes("tick") && lines;
      });
      assert.match(text, /^\d{4}-\d\d-\d\dT\S+ stdout F one$/m);
      assert.match(text, /^\S+ stderr F two$/m);
      await rename(file, `${file}.1`);
      await rpc().reopenContainerLog({ containerId });
      await eventually(async () => (await readFile(file, "utf8").catch(() => "")).includes("tick"));
      assert.equal((await statusOf(containerId)).logPath, file);
      await rpc().stopContainer({ containerId, timeout: 0n });
      await assert.rejects(rpc().reopenContainerLog({ containerId }), { code: 9 });
      await rpc().removePodSandbox({ podSandboxId });
    });

    it("refuses to reopen a log where none can be made, and the container runs on", async () => {
      const disk = path.join(logs, "disk");
      await mkdir(disk);
      execFileSync("mount", ["-t", "tmpfs", "-o", "nr_inodes=4", "tmpfs", disk]); // its root, a directory, two files
      try {
        const sandbox = sandboxConfig({ logDirectory: disk });
        const main = { command: ["sh", "-c", "while sleep 0.05; do echo tick; done"], logPath: "c/0.log" };
        const { podSandboxId, containerId } = await startContainer(runtime.cri, main, sandbox);
        const [directory, moved, file] = [`${disk}/c`, `${disk}/moved`, `${disk}/c/0.log`];
        await rename(directory, moved);
        await assert.rejects(rpc().reopenContainerLog({ containerId }), { code: 9, message: /cannot reopen.*ENOENT/ });
        await rename(moved, directory);
        await rename(file, `${file}.1`);
        await writeFile(`${disk}/other`, "");
        await assert.rejects(rpc().reopenContainerLog({ containerId }), { code: 8, message: /cannot reopen.*ENOSPC/ });
        assert.equal((await statusOf(containerId)).state, ContainerState.CONTAINER_RUNNING);
        await rm(`${disk}/other`);
        await rpc().reopenContainerLog({ containerId });
        await eventually(async () => (await readFile(file, "utf8")).includes("tick"));
        assert.deepEqual((await readdir(directory)).sort(), ["0.log", "0.log.1"]);
        await rpc().removePodSandbox({ podSandboxId });
      } finally {
        execFileSync("umount", ["-l", disk]);
      }
    });

    it("merges the image's settings with the request's", async () => {
      await runtime.load({
        name: "hawser.test/settings:1",
        user: "web",
        env: ["PATH=/bin", "A=image", "B=image"],
        entrypoint: [
          "sh",
          "-c",
          'echo "$A $B $C $HOME $(id -u):$(id -g) $(id -G) $(pwd) $0 $1" > /tmp/out; sleep 1000',
        ],
        cmd: ["zero", "one"],
        workingDir: "/made/here",
        stopSignal: "SIGQUIT",
      });
      const { podSandboxId, containerId } = await startContainer(runtime.cri, {
        image: { image: "hawser.test/settings:1" },
        envs: [
          { key: "B", value: Buffer.from("request") },
          { key: "C", value: Buffer.from("new") },
        ],
      });
      const out = await eventually(
        async () => (await sh(runtime.cri, containerId, "cat /tmp/out")).stdout || undefined,
      );
      assert.equal(out, "image request new /home/web 1000:1000 1000 2000 /made/here zero one\n");
      assert.equal((await statusOf(containerId)).stopSignal, Signal.SIGQUIT);
      await rpc().removePodSandbox({ podSandboxId });
    });

    it("mounts what is asked for, read-only where asked", async () => {
      const directory = await mkdtemp(path.join(tmpdir(), "hawser-mount-"));
      await writeFile(path.join(directory, "hello"), "from the node\n");
      const { podSandboxId, containerId } = await startContainer(runtime.cri, {
        mounts: [
          { containerPath: "/data", hostPath: directory },
          { containerPath: "/fixed", hostPath: directory, readonly: true },
          { containerPath: "/fresh", hostPath: path.join(directory, "not/there") },
        ],
      });
      const result = await sh(
        runtime.cri,
        containerId,
        "cat /data/hello; echo x > /data/new; echo y > /fixed/new; ls /fresh",
      );
      assert.equal(result.stdout, "from the node\n");
      assert.match(result.stderr, /[Rr]ead-only/);
      assert.equal(await readFile(path.join(directory, "new"), "utf8"), "x\n");
      assert.ok((await stat(path.join(directory, "not/there"))).isDirectory());
      await rpc().removePodSandbox({ podSandboxId });
      await rm(directory, { recursive: true });
    });

    it("shares or separates namespaces as asked", async () => {
      const pod = create(NamespaceOptionSchema, { pid: NamespaceMode.POD });
      const shared = { linux: { securityContext: { namespaceOptions: pod } } };
      const sandbox = sandboxConfig(shared);
      const { podSandboxId, containerId } = await startContainer(runtime.cri, shared, sandbox);
      const { stdout } = await sh(runtime.cri, containerId, "ps -eo pid,args; hostname; cat /etc/hostname");
      assert.match(stdout, /^ +1 \/pause/m);
      assert.match(stdout, new RegExp(`${sandbox.hostname}\n${sandbox.hostname}\n$`));
      await rpc().removePodSandbox({ podSandboxId });

      const { NODE } = NamespaceMode;
      const node = create(NamespaceOptionSchema, { network: NODE, pid: NODE, ipc: NODE });
      const own = sandboxConfig({ linux: { securityContext: { namespaceOptions: node } } });
      const onNode = await startContainer(runtime.cri, { linux: { securityContext: { namespaceOptions: node } } }, own);
      const links = await sh(
        runtime.cri,
        onNode.containerId,
        "readlink /proc/self/ns/net /proc/self/ns/ipc /proc/self/ns/uts",
      );
      const { readlink } = await import("node:fs/promises");
      const want = await Promise.all(["net", "ipc", "uts"].map((name) => readlink(`/proc/self/ns/${name}`)));
      assert.deepEqual(links.stdout.trim().split("\n"), want);
      const { status } = await rpc().podSandboxStatus({ podSandboxId: onNode.podSandboxId });
      assert.equal(status?.network?.ip, "");
      await rpc().removePodSandbox({ podSandboxId: onNode.podSandboxId });
    });

    it("writes the pod's DNS settings, and sets its sysctls", async () => {
      const sandbox = sandboxConfig({
        dnsConfig: { servers: ["10.1.2.3"], searches: ["a.example", "b.example"], options: ["ndots:5"] },
        linux: { sysctls: { "net.ipv4.ip_local_port_range": "40000 50000", "kernel.shm_rmid_forced": "1" } },
      });
      const { podSandboxId, containerId } = await startContainer(runtime.cri, {}, sandbox);
      const files = "cat /etc/resolv.conf /proc/sys/net/ipv4/ip_local_port_range /proc/sys/kernel/shm_rmid_forced";
      const { stdout } = await sh(runtime.cri, containerId, files);
      assert.equal(stdout, "search a.example b.example\nnameserver 10.1.2.3\noptions ndots:5\n40000\t50000\n1\n");
      await rpc().removePodSandbox({ podSandboxId });
      for (const name of ["kernel.core_pattern", "vm.swappiness", "kernel.shm_rmid_forced+kernel.core_pattern"]) {
        const config = sandboxConfig({ linux: { sysctls: { [name]: "x" } } });
        await assert.rejects(rpc().runPodSandbox({ config }), { code: 3 });
      }
      assert.deepEqual((await rpc().listPodSandbox({})).items, []);
    });

    it("limits memory and tells an OOM kill", async () => {
      const { podSandboxId, containerId } = await startContainer(runtime.cri, {
        linux: { resources: { memoryLimitInBytes: 20_000_000n } },
      });
      const config = await statusOf(containerId);
      assert.equal(config.resources?.linux?.memoryLimitInBytes, 20_000_000n);
      const { stats } = await rpc().containerStats({ containerId });
      assert.ok((stats?.cpu?.usageCoreNanoSeconds?.value ?? 0n) > 0n);
      assert.ok((stats?.memory?.workingSetBytes?.value ?? 0n) > 0n);
      await rpc().removePodSandbox({ podSandboxId });

      const killed = await startContainer(runtime.cri, {
        command: ["sh", "-c", "head -c 200000000 /dev/zero | tail -c 150000000 >/dev/null"],
        linux: { resources: { memoryLimitInBytes: 20_000_000n } },
      });
      const { exitCode, reason } = await ended(killed.containerId);
      assert.deepEqual([exitCode, reason], [137, "OOMKilled"]);
      await rpc().removePodSandbox({ podSandboxId: killed.podSandboxId });
    });

    it("changes limits of a running container", async () => {
      const { podSandboxId, containerId } = await startContainer(runtime.cri, {
        linux: { resources: { cpuShares: 512n, memoryLimitInBytes: 100_000_000n } },
      });
      await rpc().updateContainerResources({ containerId, linux: { cpuQuota: 50_000n, cpuPeriod: 100_000n } });
      const { status } = await rpc().containerStatus({ containerId });
      const linux = status?.resources?.linux;
      assert.deepEqual([linux?.cpuQuota, linux?.cpuShares, linux?.memoryLimitInBytes], [50_000n, 512n, 100_000_000n]);
      const { stdout } = await sh(
        runtime.cri,
        containerId,
        "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu.max 2>/dev/null",
      );
      assert.match(stdout, /^50000/);
      await rpc().removePodSandbox({ podSandboxId });
    });

    it("tells events as they happen", async () => {
      const stop = new AbortController();
      const seen: [string, number][] = [];
      const listening = (async () => {
        for await (const event of rpc().getContainerEvents({}, { signal: stop.signal })) {
          seen.push([event.containerId, event.containerEventType]);
        }
      })().catch(() => undefined);
      await eventually(async () => {
        // The stream stands once it tells of anything.
        const other = await startContainer(runtime.cri, { command: ["true"] });
        await rpc().removePodSandbox({ podSandboxId: other.podSandboxId });
        return seen.length > 0;
      });
      const { podSandboxId, containerId } = await startContainer(runtime.cri, { command: ["true"] });
      await ended(containerId);
      await rpc().removeContainer({ containerId });
      await eventually(async () => seen.filter(([id]) => id === containerId).length === 4);
      assert.deepEqual(
        seen
          .filter(([id]) => id === containerId)
          .map(([, type]) => type)
          .sort(),
        [0, 1, 2, 3],
      );
      await rpc().removePodSandbox({ podSandboxId });
      const ofPod = () => seen.filter(([id]) => id === podSandboxId).map(([, type]) => type);
      await eventually(async () => ofPod().includes(3));
      assert.deepEqual(ofPod(), [0, 1, 2, 3], "created, started, stopped, deleted: once each");
      stop.abort();
      await listening;
    });

    it("refuses by name what it does not do", async () => {
      await assert.rejects(rpc().checkpointContainer({ containerId: "x" }), {
        code: 12,
        message: /CheckpointContainer/,
      });
      const options = create(NamespaceOptionSchema, { usernsOptions: { mode: NamespaceMode.POD } });
      const userns = { linux: { securityContext: { namespaceOptions: options } } };
      await assert.rejects(rpc().runPodSandbox({ config: sandboxConfig(userns) }), { code: 3, message: /no root/ });
      const before = (await rpc().listPodSandbox({})).items.length;
      await assert.rejects(startContainer(runtime.cri, { CDIDevices: [{ name: "vendor.example/gpu=0" }] }), {
        code: 12,
        message: /CDI/,
      });
      await assert.rejects(startContainer(runtime.cri, { linux: { securityContext: { privileged: true } } }), {
        code: 3,
        message: /privileged/,
      });
      for (const { id } of (await rpc().listPodSandbox({})).items.slice(before)) {
        await rpc().removePodSandbox({ podSandboxId: id });
      }
      await assert.rejects(rpc().runPodSandbox({ config: sandboxConfig(), runtimeHandler: "kata" }), { code: 3 });
    });
  });
}
