import path from "node:path";
import type {
  ContainerStatsFilter,
  ContainerStatsRequest,
  ContainerStatsResponseSchema,
  ContainerStatsSchema,
  ListContainerStatsRequest,
  ListContainerStatsResponseSchema,
  MessageInitShape,
  StreamContainerStatsRequest,
  StreamContainerStatsResponseSchema,
} from "@hawser/cri";
import type { CgroupUsage } from "../cgroup/usage.ts";
import type { Context } from "../context.ts";
import { limiter } from "../limiter.ts";
import type { ContainerRecord } from "../store/records.ts";
import { labelsMatch, parts } from "./filters.ts";
import { writableLayer } from "./writable-layer.ts";

type Dependencies = Pick<Context, "containers" | "usage" | "now" | "paths" | "log">;
type Stats = MessageInitShape<typeof ContainerStatsSchema>;

/** CRI ContainerStats. Throws NotFound. What the kernel does not tell is left out. */
export async function containerStats(
  dependencies: Dependencies,
  { containerId }: ContainerStatsRequest,
): Promise<MessageInitShape<typeof ContainerStatsResponseSchema>> {
  return { stats: await statsOf(dependencies, dependencies.containers.get(containerId)) };
}

/** CRI ListContainerStats: of the running containers that pass the filter. */
export async function listContainerStats(
  dependencies: Dependencies,
  { filter }: Pick<ListContainerStatsRequest, "filter">,
): Promise<MessageInitShape<typeof ListContainerStatsResponseSchema>> {
  return { stats: await Promise.all(matching(dependencies, filter).map((record) => statsOf(dependencies, record))) };
}

/** CRI StreamContainerStats: the same in parts. */
export async function* streamContainerStats(
  dependencies: Dependencies,
  { filter }: StreamContainerStatsRequest,
): AsyncGenerator<MessageInitShape<typeof StreamContainerStatsResponseSchema>> {
  for (const part of parts(matching(dependencies, filter))) {
    yield { containerStats: await Promise.all(part.map((record) => statsOf(dependencies, record))) };
  }
}

function matching({ containers }: Dependencies, filter: ContainerStatsFilter | undefined): ContainerRecord[] {
  return containers
    .list()
    .filter(
      (record) =>
        record.state === "running" &&
        record.id.startsWith(filter?.id ?? "") &&
        record.sandboxId.startsWith(filter?.podSandboxId ?? "") &&
        labelsMatch(filter?.labelSelector ?? {}, record.labels),
    );
}

/** What a container has written to its root. */
export async function layerOf(
  { now, paths, log }: Pick<Context, "now" | "paths" | "log">,
  { id }: Pick<ContainerRecord, "id">,
) {
  return await writableLayer({ log }, path.join(paths.containers, id, "upper"), now());
}

/** Cgroups and layers that are read at once, by all calls together: each takes some ten descriptors. */
export const readingAtOnce = limiter(8);

export async function statsOf(
  dependencies: Pick<Context, "usage" | "now" | "paths" | "log">,
  record: ContainerRecord,
): Promise<Stats> {
  const { usage, paths } = dependencies;
  const { id, metadata, labels, annotations } = record;
  const [read, layer] = await readingAtOnce(() =>
    Promise.all([usage.read(record.cgroupPath), layerOf(dependencies, record)]),
  );
  return {
    attributes: { id, metadata, labels, annotations },
    ...describeUsage(read),
    ...(layer && {
      writableLayer: {
        timestamp: layer.at,
        fsId: { mountpoint: paths.containers },
        usedBytes: { value: layer.bytes },
        inodesUsed: { value: layer.inodes },
      },
    }),
  };
}

/** A cgroup's usage in the CRI's words. */
export function describeUsage(usage: CgroupUsage): Pick<Stats, "cpu" | "memory" | "swap"> {
  const { timestamp, memoryBytes, memoryLimitBytes, workingSetBytes } = usage;
  const available =
    memoryLimitBytes !== undefined && workingSetBytes !== undefined && memoryLimitBytes > workingSetBytes
      ? memoryLimitBytes - workingSetBytes
      : undefined;
  return {
    cpu: {
      timestamp,
      ...value("usageCoreNanoSeconds", usage.cpuNanoseconds),
      ...value("usageNanoCores", usage.nanoCores),
    },
    memory: {
      timestamp,
      ...value("workingSetBytes", workingSetBytes),
      ...value("availableBytes", available),
      ...value("usageBytes", memoryBytes),
      ...value("rssBytes", usage.rssBytes),
      ...value("pageFaults", usage.pageFaults),
      ...value("majorPageFaults", usage.majorPageFaults),
    },
    ...(usage.swapBytes !== undefined && { swap: { timestamp, swapUsageBytes: { value: usage.swapBytes } } }),
  };
}

function value<Name extends string>(name: Name, number: bigint | undefined): { [K in Name]?: { value: bigint } } {
  // One member of this name, or none: what the type says.
  return (number === undefined ? {} : { [name]: { value: number } }) as { [K in Name]?: { value: bigint } };
}
