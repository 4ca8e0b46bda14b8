import {
  type ListMetricDescriptorsResponseSchema,
  type ListPodSandboxMetricsResponseSchema,
  type MessageInitShape,
  type MetricSchema,
  MetricType,
} from "@hawser/cri";
import { readDetails } from "../cgroup/details.ts";
import { countProcesses, softFilesLimit } from "../cgroup/processes.ts";
import type { Context } from "../context.ts";
import { limiter } from "../limiter.ts";
import type { ContainerRecord, SandboxRecord } from "../store/records.ts";
import { layerOf } from "./container-stats.ts";
import { descriptors, type Facts } from "./metric-descriptors.ts";
import { type InterfaceCounters, networkCounters } from "./network-usage.ts";

type Metric = MessageInitShape<typeof MetricSchema>;

/**
 * Labels of all metrics: the runtime's, and those that a kubelet adds to cAdvisor's metrics and not to ours.
 * Source: kubernetes#140778; cri-o/cri-o internal/lib/statsserver/metrics.go
 */
const labelKeys = ["id", "name", "image", "namespace", "pod", "container"];

/** Containers that are looked at side by side: each is some twenty files. */
const atOnce = 8;

const networkDescriptors = [
  ["receive_bytes", "Cumulative count of bytes received", ({ received }) => received.bytes],
  ["receive_packets", "Cumulative count of packets received", ({ received }) => received.packets],
  [
    "receive_packets_dropped",
    "Cumulative count of packets dropped while receiving",
    ({ received }) => received.dropped,
  ],
  ["receive_errors", "Cumulative count of errors encountered while receiving", ({ received }) => received.errors],
  ["transmit_bytes", "Cumulative count of bytes transmitted", ({ sent }) => sent.bytes],
  ["transmit_packets", "Cumulative count of packets transmitted", ({ sent }) => sent.packets],
  ["transmit_packets_dropped", "Cumulative count of packets dropped while transmitting", ({ sent }) => sent.dropped],
  ["transmit_errors", "Cumulative count of errors encountered while transmitting", ({ sent }) => sent.errors],
] satisfies [string, string, (counters: InterfaceCounters) => bigint][];
const networkName = (part: string) => `container_network_${part}_total`;

/** CRI ListMetricDescriptors: the metrics that ListPodSandboxMetrics gives. */
export async function listMetricDescriptors(): Promise<MessageInitShape<typeof ListMetricDescriptorsResponseSchema>> {
  return {
    descriptors: [
      ...descriptors.map(({ name, help, labels }) => ({ name, help, labelKeys: [...labelKeys, ...labels] })),
      ...networkDescriptors.map(([part, help]) => ({
        name: networkName(part),
        help,
        labelKeys: [...labelKeys, "interface"],
      })),
    ],
  };
}

type Dependencies = Pick<Context, "sandboxes" | "containers" | "usage" | "now" | "cgroupMode" | "paths" | "log">;
type Slots = ReturnType<typeof limiter>;

/** CRI ListPodSandboxMetrics: of the sandboxes that are ready, and of their running containers. */
export async function listPodSandboxMetrics(
  dependencies: Dependencies,
): Promise<MessageInitShape<typeof ListPodSandboxMetricsResponseSchema>> {
  const slots = limiter(atOnce);
  const ready = dependencies.sandboxes.list().filter(({ state }) => state === "ready");
  return { podMetrics: await Promise.all(ready.map((record) => metricsOf(dependencies, record, slots))) };
}

async function metricsOf(dependencies: Dependencies, record: SandboxRecord, slots: Slots) {
  const { containers, usage, cgroupMode: mode } = dependencies;
  const { id, cgroupParent, metadata, network, pause } = record;
  const inside = containers.list().filter(({ sandboxId, state }) => sandboxId === id && state === "running");
  const [facts, interfaces, containerMetrics] = await Promise.all([
    slots(async () => {
      const [own, details] = await Promise.all([usage.read(cgroupParent), readDetails({ mode }, cgroupParent)]);
      return { usage: own, details };
    }),
    network && pause ? networkCounters(pause.pid) : [],
    Promise.all(inside.map((container) => slots(() => containerMetricsOf(dependencies, record, container)))),
  ]);
  // As cAdvisor has it: the pod's cgroup is of no container, its network of the one called POD.
  const labels = (container: string) => [id, metadata.name, "", metadata.namespace, metadata.name, container];
  const ofNetwork = interfaces.flatMap((counters) =>
    networkDescriptors.map(([part, , value]) => ({
      name: networkName(part),
      timestamp: facts.usage.timestamp,
      metricType: MetricType.COUNTER,
      labelValues: [...labels("POD"), counters.name],
      value: { value: value(counters) },
    })),
  );
  return { podSandboxId: id, metrics: [...valuesOf(facts, labels("")), ...ofNetwork], containerMetrics };
}

async function containerMetricsOf(
  dependencies: Dependencies,
  { metadata: pod }: SandboxRecord,
  record: ContainerRecord,
) {
  const { usage, cgroupMode: mode } = dependencies;
  const { id, metadata, image, cgroupPath, resources, startedAt, init } = record;
  const [own, details, counts, files, layer] = await Promise.all([
    usage.read(cgroupPath),
    readDetails({ mode }, cgroupPath),
    countProcesses({ mode }, cgroupPath),
    softFilesLimit(init.pid),
    layerOf(dependencies, record),
  ]);
  const container = {
    resources,
    startedAt: BigInt(startedAt),
    counts,
    softFilesLimit: files,
    layerBytes: layer?.bytes,
  };
  const labels = [id, metadata.name, image.userSpecified || image.image, pod.namespace, pod.name, metadata.name];
  return { containerId: id, metrics: valuesOf({ usage: own, details, container }, labels) };
}

function valuesOf(facts: Facts, labelValues: string[]): Metric[] {
  return descriptors.flatMap(({ name, type, of }) =>
    of(facts).map(({ value, labels = [] }) => ({
      name,
      timestamp: facts.usage.timestamp,
      metricType: type,
      labelValues: [...labelValues, ...labels],
      value: { value },
    })),
  );
}
