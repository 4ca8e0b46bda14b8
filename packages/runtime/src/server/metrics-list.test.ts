import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, it } from "node:test";
import { connectCRI, serveCRI } from "@hawser/cri";
import type { CgroupUsage } from "../cgroup/usage.ts";
import type { ContainerRecord, SandboxRecord } from "../store/records.ts";
import { listMetricDescriptors, podSandboxMetrics } from "./metrics-list.ts";

/** So many pods of one container each, of cgroups that are not there: `read` gives their usage. */
function node(count: number, read: (cgroup: string) => Promise<CgroupUsage>) {
  const names = Array.from({ length: count }, (_, n) => `pod${n}`);
  const sandboxes = names.map((name) => ({
    ...{ id: `of-${name}`, state: "ready", cgroupParent: `/hawser-none/${name}` },
    metadata: { name, namespace: "default", uid: name, attempt: 0 },
    ...{ network: {}, pause: { pid: process.pid } },
  }));
  const containers = names.map((name) => ({
    ...{ id: `main-${name}`, sandboxId: `of-${name}`, state: "running", cgroupPath: `/hawser-none/${name}/main` },
    metadata: { name: "main", attempt: 0 },
    image: { image: "i", userSpecified: "docker.io/i" },
    ...{ resources: {}, startedAt: "5000000000", init: { pid: process.pid } },
  }));
  return podSandboxMetrics({
    sandboxes: { list: () => sandboxes as unknown as SandboxRecord[] } as never,
    containers: { list: () => containers as unknown as ContainerRecord[] } as never,
    usage: { read } as never,
    now: () => 7n,
    cgroupMode: "v2",
    paths: { containers: path.join(import.meta.dirname, "none") } as never,
    log: {} as never,
  });
}
const usage: CgroupUsage = { timestamp: 7n, cpuNanoseconds: 3_000_000_000n, processes: 1n };
/** What a client gets. */
async function asked(metrics: ReturnType<typeof node>) {
  const folder = await mkdtemp(path.join(tmpdir(), "hawser-metrics-"));
  try {
    const socketPath = path.join(folder, "cri.sock");
    const version = async () => ({ runtimeName: "test" });
    await using _server = await serveCRI({
      socketPath,
      runtime: { version, listPodSandboxMetrics: (_, { signal }) => metrics(signal) },
      images: {},
    });
    using cri = await connectCRI({ endpoint: `unix://${socketPath}` });
    return await cri.runtime.listPodSandboxMetrics({});
  } finally {
    await rm(folder, { recursive: true });
  }
}
const patient = () => new AbortController();

describe("podSandboxMetrics", () => {
  it("tells of each pod and its containers, by the descriptors' labels, each series once", async () => {
    const { podMetrics } = await asked(node(3, async () => usage));
    assert.deepEqual(
      podMetrics.map((pod) => [pod.podSandboxId, pod.containerMetrics.map(({ containerId }) => containerId)]),
      [0, 1, 2].map((n) => [`of-pod${n}`, [`main-pod${n}`]]),
    );
    const { descriptors = [] } = await listMetricDescriptors();
    const keys = new Map(descriptors.map(({ name, labelKeys }) => [name, labelKeys]));
    const all = podMetrics.flatMap((pod) => [
      ...pod.metrics,
      ...pod.containerMetrics.flatMap(({ metrics }) => metrics),
    ]);
    const labelsOf = ({ name, labelValues }: (typeof all)[number]) =>
      Object.fromEntries(labelValues.map((value, index) => [keys.get(name)?.[index] ?? "", value]));
    const series = all.map((one) => JSON.stringify([one.name, labelsOf(one)]));
    assert.equal(new Set(series).size, series.length);
    const cpu = all.filter(({ name }) => name === "container_cpu_usage_seconds_total").slice(0, 2);
    const common = { namespace: "default", pod: "pod0", cpu: "total" };
    assert.deepEqual(cpu.map(labelsOf), [
      { ...common, id: "of-pod0", image: "", container: "" },
      { ...common, id: "main-pod0", image: "docker.io/i", container: "main" },
    ]);
    assert.deepEqual(
      cpu.map(({ value, timestamp }) => [value?.value, timestamp]),
      [
        [3n, 7n],
        [3n, 7n],
      ],
    );
    const network = all.filter(({ name }) => name.startsWith("container_network_")).map(labelsOf);
    assert.deepEqual(new Set(network.map(({ container }) => container)), new Set(network.length > 0 ? ["POD"] : []));
  });

  it("looks once for all who ask meanwhile, at a few at a time, and at no more when they have gone", async () => {
    const cgroups: string[] = [];
    const held = Promise.withResolvers<void>();
    const metrics = node(40, async (cgroup) => {
      cgroups.push(cgroup);
      await held.promise;
      return usage;
    });
    const callers = [patient(), patient()];
    const calls = callers.map(({ signal }) => metrics(signal));
    assert.equal(cgroups.length, 16, "eight pods, and eight containers");
    for (const caller of callers) caller.abort(new Error("gone"));
    for (const call of calls) await assert.rejects(call, /^Error: gone$/);
    held.resolve();
    await metrics(patient().signal); // behind the others, whose places it waits for
    assert.equal(cgroups.length, 16 + 80);
  });

  it("makes an answer for many pods in many turns of the event loop", async () => {
    let described = 0;
    const metrics = node(60, async () => ({
      ...usage,
      get timestamp() {
        described++;
        return 7n;
      },
    }));
    const seen: number[] = [];
    let over = false;
    const look = () => {
      seen.push(described);
      if (!over) setImmediate(look);
    };
    setImmediate(look);
    await metrics(patient().signal);
    over = true;
    assert.ok(described >= 120);
    const most = Math.max(...seen.map((count, index) => count - (seen[index - 1] ?? 0)));
    assert.ok(most <= described / 4, `${most} of ${described} looks in one turn`);
  });
});
