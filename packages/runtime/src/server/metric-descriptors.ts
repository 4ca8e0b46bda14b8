import { MetricType } from "@hawser/cri";
import type { CgroupDetails, DeviceUsage } from "../cgroup/details.ts";
import type { ProcessCounts } from "../cgroup/processes.ts";
import type { CgroupUsage } from "../cgroup/usage.ts";
import type { ResourceRecord } from "../store/records.ts";

/** What is known of a pod's cgroup, or of a container and its cgroup. */
export interface Facts {
  usage: CgroupUsage;
  details: CgroupDetails;
  container?: {
    resources: ResourceRecord;
    /** Nanoseconds since 1970. */
    startedAt: bigint;
    counts: ProcessCounts;
    softFilesLimit?: bigint | undefined;
    /** Of what it has written to its root, bytes. */
    layerBytes?: bigint | undefined;
  };
}

/** A value, and those of the descriptor's own labels. */
export interface Sample {
  value: bigint;
  labels?: string[];
}

/** `Known` is what its values are told by. */
export interface Descriptor<Known = Facts> {
  name: string;
  help: string;
  type: MetricType;
  /** Labels beside those of all metrics. */
  labels: string[];
  of(known: Known): Sample[];
}

type Value = (facts: Facts) => bigint | undefined;

const second = 1_000_000_000n;
const seconds = (nanoseconds: bigint | undefined) => (nanoseconds === undefined ? undefined : nanoseconds / second);
const positive = (value: number | undefined) => (value !== undefined && value > 0 ? BigInt(value) : undefined);
const { COUNTER, GAUGE } = MetricType;

/**
 * By the names that cAdvisor gave them, in its units, as far as the CRI's whole numbers can say it: what dashboards ask for, and
 * what Kubernetes' own test of a kubelet's `/metrics/cadvisor` does. What the kernel does not tell is left out.
 *
 * Source: google/cadvisor docs/storage/prometheus.md; kubernetes test/e2e_node/cri_container_metrics_test.go
 */
export const descriptors: Descriptor[] = [
  {
    ...metric(COUNTER, "container_cpu_usage_seconds_total", "Cumulative cpu time consumed in seconds."),
    labels: ["cpu"],
    of: ({ usage }) => one(seconds(usage.cpuNanoseconds), ["total"]),
  },
  counter("container_cpu_user_seconds_total", "Cumulative user cpu time consumed in seconds.", ({ details }) =>
    seconds(details.userNanoseconds),
  ),
  counter("container_cpu_system_seconds_total", "Cumulative system cpu time consumed in seconds.", ({ details }) =>
    seconds(details.systemNanoseconds),
  ),
  counter(
    "container_cpu_cfs_periods_total",
    "Number of elapsed periods of the quota.",
    ({ details }) => details.periods,
  ),
  counter(
    "container_cpu_cfs_throttled_periods_total",
    "Number of periods in which the quota was used up.",
    ({ details }) => details.throttledPeriods,
  ),
  counter("container_cpu_cfs_throttled_seconds_total", "Time without a processor for want of quota.", ({ details }) =>
    seconds(details.throttledNanoseconds),
  ),
  gauge("container_memory_usage_bytes", "Current memory usage in bytes.", ({ usage }) => usage.memoryBytes),
  gauge("container_memory_working_set_bytes", "Current working set in bytes.", ({ usage }) => usage.workingSetBytes),
  gauge("container_memory_rss", "Size of RSS in bytes.", ({ usage }) => usage.rssBytes),
  gauge("container_memory_swap", "Container swap usage in bytes.", ({ usage }) => usage.swapBytes),
  gauge("container_memory_cache", "Bytes of page cache memory.", ({ details }) => details.cacheBytes),
  gauge("container_memory_kernel_usage", "Kernel memory in bytes.", ({ details }) => details.kernelBytes),
  gauge("container_memory_mapped_file", "Size of mapped files in bytes.", ({ details }) => details.mappedFileBytes),
  gauge("container_memory_max_usage_bytes", "Most memory ever used, bytes.", ({ details }) => details.mostBytes),
  counter("container_memory_failcnt", "Number of times a limit was met.", ({ details }) => details.limitHits),
  {
    ...metric(COUNTER, "container_memory_failures_total", "Cumulative count of page faults."),
    labels: ["failure_type", "scope"],
    of: ({ usage }) => [
      ...one(usage.pageFaults, ["pgfault", "hierarchy"]),
      ...one(usage.majorPageFaults, ["pgmajfault", "hierarchy"]),
    ],
  },
  counter("container_oom_events_total", "Processes killed for want of memory.", ({ details }) => details.oomKills),
  gauge(
    "container_spec_memory_limit_bytes",
    "Memory limit for the container; 0 for none.",
    ({ usage }) => usage.memoryLimitBytes ?? 0n,
  ),
  gauge("container_spec_memory_reservation_limit_bytes", "Always 0: the CRI knows no reservation.", () => 0n),
  ofContainers(
    "container_spec_memory_swap_limit_bytes",
    "Limit of memory and swap; 0 for none.",
    ({ resources }) => positive(resources.memorySwapLimitInBytes) ?? 0n,
  ),
  ofContainers(
    "container_spec_cpu_period",
    "CPU period of the container, microseconds.",
    ({ resources }) => positive(resources.cpuPeriod) ?? 100_000n,
  ),
  ofContainers("container_spec_cpu_quota", "CPU quota of the container, microseconds.", ({ resources }) =>
    positive(resources.cpuQuota),
  ),
  ofContainers(
    "container_spec_cpu_shares",
    "CPU share of the container.",
    ({ resources }) => positive(resources.cpuShares) ?? 1024n,
  ),
  ofContainers("container_start_time_seconds", "Start of the container since 1970.", ({ startedAt }) =>
    seconds(startedAt),
  ),
  gauge("container_last_seen", "When the container was looked at, since 1970.", ({ usage }) =>
    seconds(usage.timestamp),
  ),
  ofContainers("container_processes", "Number of processes in the container.", ({ counts }) => counts.processes),
  ofContainers("container_file_descriptors", "Number of open file descriptors.", ({ counts }) => counts.descriptors),
  ofContainers("container_sockets", "Number of open sockets.", ({ counts }) => counts.sockets),
  gauge("container_threads", "Number of threads in the container.", ({ usage }) => usage.processes),
  gauge("container_threads_max", "Limit of threads; 0 for none.", ({ details }) => details.mostThreads),
  {
    ...metric(GAUGE, "container_ulimits_soft", "Soft limits of the container's first process."),
    labels: ["ulimit"],
    of: ({ container }) => one(container?.softFilesLimit, ["max_open_files"]),
  },
  ofContainers("container_fs_usage_bytes", "Bytes written to the container's root.", ({ layerBytes }) => layerBytes),
  onDevices("container_fs_reads_bytes_total", "Cumulative count of bytes read", ({ readBytes }) => readBytes),
  onDevices("container_fs_reads_total", "Cumulative count of reads completed", ({ reads }) => reads),
  onDevices("container_fs_writes_bytes_total", "Cumulative count of bytes written", ({ writtenBytes }) => writtenBytes),
  onDevices("container_fs_writes_total", "Cumulative count of writes completed", ({ writes }) => writes),
];

function metric(type: MetricType, name: string, help: string) {
  return { type, name, help };
}

function one(value: bigint | undefined, labels: string[] = []): Sample[] {
  return value === undefined ? [] : [{ value, labels }];
}

function simple(type: MetricType, name: string, help: string, value: Value): Descriptor {
  return { type, name, help, labels: [], of: (facts) => one(value(facts)) };
}

function counter(name: string, help: string, value: Value): Descriptor {
  return simple(COUNTER, name, help, value);
}

function gauge(name: string, help: string, value: Value): Descriptor {
  return simple(GAUGE, name, help, value);
}

function ofContainers(
  name: string,
  help: string,
  value: (container: NonNullable<Facts["container"]>) => bigint | undefined,
): Descriptor {
  return gauge(name, help, ({ container }) => container && value(container));
}

/** One that has used none yet has a zero, of no device. */
function onDevices(name: string, help: string, value: (usage: DeviceUsage) => bigint): Descriptor {
  return {
    ...metric(COUNTER, name, help),
    labels: ["device"],
    of({ details: { devices } }) {
      if (!devices) return [];
      if (devices.length === 0) return [{ value: 0n, labels: [""] }];
      return devices.map((usage) => ({ value: value(usage), labels: [usage.device] }));
    },
  };
}
