import type {
  ListPodSandboxStatsRequest,
  ListPodSandboxStatsResponseSchema,
  MessageInitShape,
  PodSandboxStatsFilter,
  PodSandboxStatsRequest,
  PodSandboxStatsResponseSchema,
  PodSandboxStatsSchema,
  StreamPodSandboxStatsRequest,
  StreamPodSandboxStatsResponseSchema,
} from "@hawser/cri";
import type { Context } from "../context.ts";
import type { SandboxRecord } from "../store/records.ts";
import { describeUsage, readingAtOnce, statsOf } from "./container-stats.ts";
import { labelsMatch, parts } from "./filters.ts";
import { type InterfaceCounters, networkCounters } from "./network-usage.ts";

type Dependencies = Pick<Context, "sandboxes" | "containers" | "usage" | "now" | "paths" | "log">;
type Stats = MessageInitShape<typeof PodSandboxStatsSchema>;

/** CRI PodSandboxStats: the pod's cgroup, its interfaces, and its running containers. Throws NotFound. */
export async function podSandboxStats(
  dependencies: Dependencies,
  { podSandboxId }: PodSandboxStatsRequest,
): Promise<MessageInitShape<typeof PodSandboxStatsResponseSchema>> {
  return { stats: await sandboxStats(dependencies, dependencies.sandboxes.get(podSandboxId)) };
}

/** CRI ListPodSandboxStats: of the ready sandboxes that pass the filter. */
export async function listPodSandboxStats(
  dependencies: Dependencies,
  { filter }: ListPodSandboxStatsRequest,
): Promise<MessageInitShape<typeof ListPodSandboxStatsResponseSchema>> {
  return {
    stats: await Promise.all(matching(dependencies, filter).map((record) => sandboxStats(dependencies, record))),
  };
}

/** CRI StreamPodSandboxStats: the same in parts. */
export async function* streamPodSandboxStats(
  dependencies: Dependencies,
  { filter }: StreamPodSandboxStatsRequest,
): AsyncGenerator<MessageInitShape<typeof StreamPodSandboxStatsResponseSchema>> {
  for (const part of parts(matching(dependencies, filter))) {
    yield { podSandboxStats: await Promise.all(part.map((record) => sandboxStats(dependencies, record))) };
  }
}

function matching({ sandboxes }: Dependencies, filter: PodSandboxStatsFilter | undefined): SandboxRecord[] {
  return sandboxes
    .list()
    .filter(
      (record) =>
        record.state === "ready" &&
        record.id.startsWith(filter?.id ?? "") &&
        labelsMatch(filter?.labelSelector ?? {}, record.labels),
    );
}

async function sandboxStats(dependencies: Dependencies, record: SandboxRecord): Promise<Stats> {
  const { containers, usage, now } = dependencies;
  const { id, metadata, labels, annotations } = record;
  const inside = containers.list().filter(({ sandboxId, state }) => sandboxId === id && state === "running");
  const { network: hasNetwork, pause, cgroupParent } = record;
  const [[own, network], stats] = await Promise.all([
    readingAtOnce(() =>
      Promise.all([usage.read(cgroupParent), hasNetwork && pause ? networkUsage(pause.pid, now()) : undefined]),
    ),
    Promise.all(inside.map((container) => statsOf(dependencies, container))),
  ]);
  return {
    attributes: { id, metadata, labels, annotations },
    linux: {
      ...describeUsage(own),
      ...(network && { network }),
      ...(own.processes !== undefined && {
        process: { timestamp: own.timestamp, processCount: { value: own.processes } },
      }),
      containers: stats,
    },
  };
}

/** The CRI's words for the interfaces; undefined without an eth0, which is the pod's own. */
async function networkUsage(pid: number, timestamp: bigint) {
  const [first, ...others] = await networkCounters(pid);
  if (first?.name !== "eth0") return undefined;
  const usage = ({ name, received, sent }: InterfaceCounters) => ({
    name,
    rxBytes: { value: received.bytes },
    rxErrors: { value: received.errors },
    txBytes: { value: sent.bytes },
    txErrors: { value: sent.errors },
  });
  return { timestamp, defaultInterface: usage(first), interfaces: others.map(usage) };
}
