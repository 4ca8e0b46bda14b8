// What pods and images may ask for beside the ordinary: slices as parents, host ports by udp and address, shared processes, volumes.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { glob, readdir, readFile, rmdir, stat } from "node:fs/promises";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import { NamespaceMode, Protocol } from "@hawser/cri";
import { eventually, freePort } from "@hawser/testing";
import { unified } from "./support/cgroups.ts";
import { image, sandboxConfig, sh, startContainer, startTestRuntime, type TestRuntime } from "./support/runtime.ts";

const run = promisify(execFile);

/** Of each container, without `container_`. Source: kubernetes test/e2e_node/cri_container_metrics_test.go */
const wantedByKubernetes = [
  ...["cpu_cfs_periods_total", "cpu_cfs_throttled_periods_total", "cpu_cfs_throttled_seconds_total"],
  ...["cpu_system_seconds_total", "cpu_usage_seconds_total", "cpu_user_seconds_total", "file_descriptors"],
  ...["fs_reads_bytes_total", "fs_reads_total", "fs_usage_bytes", "fs_writes_bytes_total", "fs_writes_total"],
  ...["last_seen", "memory_cache", "memory_failures_total", "memory_kernel_usage", "memory_mapped_file"],
  ...["memory_max_usage_bytes", "memory_rss", "memory_swap", "memory_usage_bytes", "memory_working_set_bytes"],
  ...["oom_events_total", "processes", "sockets", "spec_cpu_period", "spec_cpu_shares", "spec_memory_limit_bytes"],
  ...["spec_memory_reservation_limit_bytes", "spec_memory_swap_limit_bytes", "start_time_seconds", "threads"],
  ...["threads_max", "ulimits_soft"],
];

for (const ociRuntime of ["crun", "runc"] as const) {
  describe(`sandboxes over ${ociRuntime}`, { timeout: 90_000 }, () => {
    let runtime: TestRuntime;
    before(async () => {
      runtime = await startTestRuntime({ ociRuntime });
    });
    after(() => runtime?.[Symbol.asyncDispose]());
    const rpc = () => runtime.cri.runtime;
    const ofProcess = async (containerId: string, file: string) => {
      const { info } = await rpc().containerStatus({ containerId, verbose: true });
      return await readFile(`/proc/${(JSON.parse(info.info ?? "{}") as { pid: number }).pid}/${file}`, "utf8");
    };
    const cgroupsOf = (containerId: string) => ofProcess(containerId, "cgroup");

    it("lie in the cgroup their parent names, a path; a slice is systemd's", async () => {
      const top = `hawsertest${process.pid}`;
      try {
        for (const [parent, place] of [
          [`/${top}.slice/by-path`, `/${top}.slice/by-path`],
          [`${top}.slice/pod1`, `/${top}.slice/pod1`],
        ] as const) {
          const sandbox = sandboxConfig({ linux: { cgroupParent: parent } });
          const { podSandboxId, containerId } = await startContainer(runtime.cri, {}, sandbox);
          try {
            assert.match(
              await cgroupsOf(containerId),
              new RegExp(`${unified ? "^0:" : ":memory"}:${place}/${containerId}$`, "m"),
            );
            const { stats } = await rpc().podSandboxStats({ podSandboxId });
            assert.ok((stats?.linux?.memory?.workingSetBytes?.value ?? 0n) > 0n);
          } finally {
            await rpc().removePodSandbox({ podSandboxId });
          }
          for await (const left of glob(`/sys/fs/cgroup/{,*}${place}`)) assert.fail(`${left} is left`);
        }
        const runIn = (cgroupParent: string) =>
          rpc().runPodSandbox({ config: sandboxConfig({ linux: { cgroupParent } }) });
        await assert.rejects(runIn("/a/../../b"), { code: 3 });
        const message = /cgroupfs cgroup driver, but received systemd slice as parent/;
        await assert.rejects(runIn(`${top}-pod1.slice`), { code: 3, message });
        await assert.rejects(runIn(`/${top}.slice/${top}-pod1.slice`), { code: 3, message });
      } finally {
        for await (const slice of glob(`/sys/fs/cgroup/{,*/}${top}.slice`)) await rmdir(slice);
      }
    });

    it("leave the root that their pause processes share as it is, however many are made at once", async () => {
      const configs = Array.from({ length: 4 }, () => sandboxConfig());
      const made = await Promise.allSettled(configs.map((config) => rpc().runPodSandbox({ config })));
      const ids = made.flatMap((one) => (one.status === "fulfilled" ? [one.value.podSandboxId] : []));
      try {
        assert.equal(ids.length, configs.length);
        const root = path.join(runtime.root, "pause");
        assert.deepEqual((await readdir(root, { recursive: true })).sort(), ["dev", "pause", "proc", "sys"]);
      } finally {
        await Promise.all(ids.map((podSandboxId) => rpc().removePodSandbox({ podSandboxId })));
      }
    });

    it("are told of in metrics by the descriptors' labels", async () => {
      const { podSandboxId, containerId } = await startContainer(runtime.cri);
      try {
        const { descriptors } = await rpc().listMetricDescriptors({});
        await eventually(async () => !/runc|crun/.test(await ofProcess(containerId, "cmdline"))); // runc's threads would be counted
        const keys = new Map(descriptors.map(({ name, labelKeys }) => [name, labelKeys]));
        assert.equal(keys.size, descriptors.length, "each once: a kubelet registers them by their names");
        const { podMetrics } = await rpc().listPodSandboxMetrics({});
        assert.deepEqual(
          podMetrics.map((pod) => pod.podSandboxId),
          [podSandboxId],
        );
        const [pod] = podMetrics;
        const own = pod?.containerMetrics[0];
        assert.equal(own?.containerId, containerId);
        const all = [...(pod?.metrics ?? []), ...(own?.metrics ?? [])];
        for (const { name, labelValues, timestamp } of all) {
          assert.equal(labelValues.length, keys.get(name)?.length, name);
          assert.ok(timestamp > 0n);
        }
        const valueNamed = (wanted: string, metrics = all) =>
          metrics.find(({ name }) => name === wanted)?.value?.value ?? 0n;
        /** What one is labelled with, by the labels' names, as a kubelet passes them on. */
        const labelsOf = ({ name, labelValues }: { name: string; labelValues: string[] }) =>
          Object.fromEntries(labelValues.map((value, index) => [keys.get(name)?.[index] ?? "", value]));
        const { status } = await rpc().podSandboxStatus({ podSandboxId });
        const ofPod = { namespace: "default", pod: status?.metadata?.name };
        for (const one of own?.metrics ?? []) {
          assert.partialDeepStrictEqual(labelsOf(one), { id: containerId, image, ...ofPod, container: "main" });
        }
        const series = all.map((one) => JSON.stringify([one.name, one.labelValues]));
        assert.equal(new Set(series).size, series.length, "no two of the same labels: Prometheus would take none");
        assert.ok(valueNamed("container_memory_working_set_bytes", own?.metrics) > 0n);
        for (const name of ["processes", "threads", "file_descriptors", "start_time_seconds", "last_seen"]) {
          assert.ok(valueNamed(`container_${name}`, own?.metrics) > 0n, name);
        }
        assert.equal(valueNamed("container_processes", own?.metrics), 1n);
        const told = new Set(own?.metrics.map(({ name }) => name.replace(/^container_/, "")));
        assert.deepEqual(
          wantedByKubernetes.filter((name) => !told.has(name)),
          [],
        );
        const received = pod?.metrics.find(({ name }) => name === "container_network_receive_bytes_total");
        assert.ok(received);
        assert.partialDeepStrictEqual(labelsOf(received), { ...ofPod, container: "POD", interface: "eth0" });
      } finally {
        await rpc().removePodSandbox({ podSandboxId });
      }
      assert.deepEqual((await rpc().listPodSandboxMetrics({})).podMetrics, []);
    });

    it("share a container's processes with another that asks for it by id", async () => {
      const own = { securityContext: { namespaceOptions: { pid: NamespaceMode.CONTAINER } } };
      const sandbox = sandboxConfig();
      const { podSandboxId, containerId } = await startContainer(runtime.cri, { linux: own }, sandbox);
      try {
        const join = (targetId: string) => ({
          metadata: { name: `debug-${targetId.slice(0, 8)}` },
          image: { image },
          linux: { securityContext: { namespaceOptions: { pid: NamespaceMode.TARGET, targetId } } },
        });
        const made = await rpc().createContainer({ podSandboxId, config: join(containerId), sandboxConfig: sandbox });
        await rpc().startContainer({ containerId: made.containerId });
        const { stdout } = await sh(
          runtime.cri,
          made.containerId,
          "tr '\\0' ' ' < /proc/1/cmdline; readlink /proc/1/ns/pid",
        );
        const first = await sh(runtime.cri, containerId, "tr '\\0' ' ' < /proc/1/cmdline; readlink /proc/1/ns/pid");
        assert.equal(stdout, first.stdout);
        const other = { podSandboxId, config: join("0".repeat(64)), sandboxConfig: sandbox };
        await assert.rejects(rpc().createContainer(other), { code: 5 });
      } finally {
        await rpc().removePodSandbox({ podSandboxId });
      }
    });

    it("that are stopped while a container is created for them are told so", async () => {
      const codes = await Promise.all(
        [0, 20, 40, 60, 80].map(async (wait) => {
          const sandbox = sandboxConfig();
          const { podSandboxId } = await rpc().runPodSandbox({ config: sandbox });
          const config = { metadata: { name: "main", attempt: 0 }, image: { image } };
          const created = rpc().createContainer({ podSandboxId, config, sandboxConfig: sandbox });
          const code = created.then(
            () => 0,
            (error: { code?: number }) => error.code,
          );
          await new Promise((resolve) => setTimeout(resolve, wait)); // any moment will do
          await rpc().stopPodSandbox({ podSandboxId });
          const found = await code;
          await rpc().removePodSandbox({ podSandboxId });
          return found;
        }),
      );
      assert.deepEqual(
        codes.filter((code) => code !== 0 && code !== 9),
        [],
      );
    });

    it("are reached by udp, at one address of the node alone", async () => {
      const port = await freePort();
      const mapping = { protocol: Protocol.UDP, containerPort: 9000, hostPort: port, hostIp: "127.0.0.1" };
      const sandbox = sandboxConfig({ portMappings: [mapping] });
      const { podSandboxId } = await rpc().runPodSandbox({ config: sandbox });
      const rules = async () => (await run("iptables-save", ["-t", "nat"])).stdout;
      try {
        const found = (await rules())
          .split("\n")
          .filter((line) => line.includes(`--dport ${port}`) && line.includes("DNAT"));
        assert.equal(found.length, 1);
        assert.match(found[0] ?? "", /-d 127\.0\.0\.1\/32 .*-p udp .*--to-destination 10\.[\d.]+:9000/);
      } finally {
        await rpc().removePodSandbox({ podSandboxId });
      }
      assert.ok(!(await rules()).includes(`--dport ${port} `));
    });

    it("give containers their image's volumes: filled, writable, not where the request mounts", async () => {
      const name = "hawser.test/volumes:latest";
      const files = {
        "/data/seed": "of the image\n",
        "/hidden/seed": "of the image\n",
        "/etc/passwd": "root:x:0:0::/:/bin/sh\n",
      };
      await runtime.load({ name, files, volumes: ["/data", "/new/place", "/hidden", "/data/../../../../escape"] });
      const { podSandboxId, containerId } = await startContainer(runtime.cri, {
        image: { image: name },
        mounts: [{ hostPath: "/usr", containerPath: "/hidden", readonly: true }],
        linux: { securityContext: { readonlyRootfs: true } },
      });
      const script =
        "cat /data/seed; echo more >> /data/seed; touch /new/place/x /escape/x && ls /new/place /escape; test -d /hidden/bin; echo $?; touch /no 2>/dev/null || echo ro";
      try {
        const { stdout, stderr } = await sh(runtime.cri, containerId, script);
        assert.deepEqual([stderr, stdout], ["", "of the image\n/escape:\nx\n\n/new/place:\nx\n0\nro\n"]);
        await assert.rejects(stat("/escape"), { code: "ENOENT" });
      } finally {
        await rpc().removePodSandbox({ podSandboxId });
      }
      await assert.rejects(stat(path.join(runtime.root, "containers", containerId)), { code: "ENOENT" });
      const again = await startContainer(runtime.cri, { image: { image: name } });
      assert.equal((await sh(runtime.cri, again.containerId, "cat /data/seed")).stdout, "of the image\n");
      await rpc().removePodSandbox({ podSandboxId: again.podSandboxId });
    });
  });
}
