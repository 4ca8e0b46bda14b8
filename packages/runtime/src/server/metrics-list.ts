import {
  type ListMetricDescriptorsResponseSchema,
  type ListPodSandboxMetricsResponseSchema,
  type MessageInitShape,
  type MetricSchema,
  MetricType,
} from "@hawser/cri";
import type { CgroupUsage } from "../cgroup/usage.ts";
import type { Context } from "../context.ts";
import type { ContainerRecord, SandboxRecord } from "../store/records.ts";
import { networkUsage } from "./sandbox-stats.ts";

type Metric = MessageInitShape<typeof MetricSchema>;

/** Labels of all metrics, and what a network's have besides. Source: cri-o/cri-o internal/lib/stats/descriptors.go */
const labelKeys = ["id", "name", "image"];
const networkLabelKeys = [...labelKeys, "interface"];

interface Descriptor {
  name: string;
  help: string;
  type: MetricType;
  /** Undefined when the kernel does not tell. */
  value(usage: CgroupUsage): bigint | undefined;
}

/** By the names that cAdvisor gave them, in its units: what dashboards ask for. */
const descriptors: Descriptor[] = [
  {
    name: "container_cpu_usage_seconds_total",
    help: "Cumulative cpu time consumed in seconds.",
    type: MetricType.COUNTER,
    value: ({ cpuNanoseconds: cpu }) => (cpu === undefined ? undefined : cpu / 1_000_000_000n),
  },
  gauge("container_memory_usage_bytes", "Current memory usage in bytes.", ({ memoryBytes }) => memoryBytes),
  gauge(
    "container_memory_working_set_bytes",
    "Current working set in bytes.",
    ({ workingSetBytes }) => workingSetBytes,
  ),
  gauge("container_memory_rss", "Size of RSS in bytes.", ({ rssBytes }) => rssBytes),
  gauge("container_memory_swap", "Container swap usage in bytes.", ({ swapBytes }) => swapBytes),
  gauge(
    "container_spec_memory_limit_bytes",
    "Memory limit for the container; 0 for none.",
    ({ memoryLimitBytes = 0n }) => memoryLimitBytes,
  ),
  gauge("container_processes", "Number of processes running inside the container.", ({ processes }) => processes),
];

const networkDescriptors = [
  ["container_network_receive_bytes_total", "Cumulative count of bytes received", "rxBytes"],
  ["container_network_receive_errors_total", "Cumulative count of errors encountered while receiving", "rxErrors"],
  ["container_network_transmit_bytes_total", "Cumulative count of bytes transmitted", "txBytes"],
  ["container_network_transmit_errors_total", "Cumulative count of errors encountered while transmitting", "txErrors"],
] as const;

/** CRI ListMetricDescriptors: the metrics that ListPodSandboxMetrics gives. */
export async function listMetricDescriptors(): Promise<MessageInitShape<typeof ListMetricDescriptorsResponseSchema>> {
  return {
    descriptors: [
      ...descriptors.map(({ name, help }) => ({ name, help, labelKeys })),
      ...networkDescriptors.map(([name, help]) => ({ name, help, labelKeys: networkLabelKeys })),
    ],
  };
}

type Dependencies = Pick<Context, "sandboxes" | "containers" | "usage" | "now">;

/** CRI ListPodSandboxMetrics: of the sandboxes that are ready, and of their running containers. */
export async function listPodSandboxMetrics(
  dependencies: Dependencies,
): Promise<MessageInitShape<typeof ListPodSandboxMetricsResponseSchema>> {
  const ready = dependencies.sandboxes.list().filter(({ state }) => state === "ready");
  return { podMetrics: await Promise.all(ready.map((record) => metricsOf(dependencies, record))) };
}

async function metricsOf({ sandboxes: _, containers, usage, now }: Dependencies, record: SandboxRecord) {
  const { id, cgroupParent, metadata, network, pause } = record;
  const inside = containers.list().filter(({ sandboxId, state }) => sandboxId === id && state === "running");
  const [own, links, containerMetrics] = await Promise.all([
    usage.read(cgroupParent),
    network && pause ? networkUsage(pause.pid, now()) : undefined,
    Promise.all(inside.map(async (container) => containerMetricsOf(container, await usage.read(container.cgroupPath)))),
  ]);
  const labels = [id, metadata.name, ""];
  const interfaces = links ? [links.defaultInterface, ...links.interfaces] : [];
  const ofNetwork = interfaces.flatMap((link) =>
    networkDescriptors.map(([name, , field]) => ({
      name,
      timestamp: own.timestamp,
      metricType: MetricType.COUNTER,
      labelValues: [...labels, link.name],
      value: link[field],
    })),
  );
  return { podSandboxId: id, metrics: [...valuesOf(own, labels), ...ofNetwork], containerMetrics };
}

function containerMetricsOf({ id, metadata, image }: ContainerRecord, usage: CgroupUsage) {
  return { containerId: id, metrics: valuesOf(usage, [id, metadata.name, image.image]) };
}

function valuesOf(usage: CgroupUsage, labelValues: string[]): Metric[] {
  return descriptors.flatMap(({ name, type, value }) => {
    const known = value(usage);
    if (known === undefined) return [];
    return [{ name, timestamp: usage.timestamp, metricType: type, labelValues, value: { value: known } }];
  });
}

function gauge(name: string, help: string, value: Descriptor["value"]): Descriptor {
  return { name, help, type: MetricType.GAUGE, value };
}
