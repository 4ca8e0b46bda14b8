import { Code, CRIError, type LinuxContainerResources } from "@hawser/cri";
import type { ResourceRecord } from "../store/records.ts";
import type { Host } from "./host.ts";
import type { Resources } from "./types.ts";

/**
 * CRI resources in numbers; what was not given is left out. A memory limit is one for memory and swap together where nothing is
 * said of swap, as containerd has it: a container does not swap unless it is told to.
 *
 * What the kernel has no controller for is left out, as containerd does: kubelets give limits of huge pages, 0 for each of the
 * node's sizes, to every container.
 *
 * Throws InvalidArgument for cgroup v2's own files where cgroups are v1's.
 */
export async function resourceRecord(
  host: Pick<Host, "cgroup" | "swapAccounting" | "hugetlb">,
  resources: LinuxContainerResources | undefined,
): Promise<ResourceRecord> {
  if (!resources) return {};
  if (host.cgroup === "v1" && Object.keys(resources.unified).length > 0) {
    throw new CRIError(Code.InvalidArgument, "unified resources need cgroup v2: this node has v1");
  }
  const { memoryLimitInBytes: memory } = resources;
  const swap = resources.memorySwapLimitInBytes || (memory > 0n ? memory : 0n);
  const limitsSwap = swap !== 0n && (await host.swapAccounting());
  const number = (value: bigint) => (value === 0n ? undefined : numberOf(value));
  return compact({
    cpuPeriod: number(resources.cpuPeriod),
    cpuQuota: number(resources.cpuQuota),
    cpuShares: number(resources.cpuShares),
    memoryLimitInBytes: number(resources.memoryLimitInBytes),
    memorySwapLimitInBytes: limitsSwap ? numberOf(swap) : undefined,
    oomScoreAdj: number(resources.oomScoreAdj),
    cpusetCpus: resources.cpusetCpus || undefined,
    cpusetMems: resources.cpusetMems || undefined,
    hugepageLimits:
      host.hugetlb && resources.hugepageLimits.length > 0
        ? resources.hugepageLimits.map(({ pageSize, limit }) => ({ pageSize, limit: numberOf(limit) }))
        : undefined,
    unified: Object.keys(resources.unified).length ? { ...resources.unified } : undefined,
  });
}

/**
 * Above the largest whole number of pages, which is no limit to the kernel, a JSON number of ours would say more than its
 * reader's int64 holds. Below it, what is lost of an amount that large is less than a page.
 */
const largest = 2n ** 63n - 4096n;

function numberOf(value: bigint): number {
  return Number(value > largest ? largest : value);
}

/** An update over what was before: only what the update gives changes. */
export function mergeResources(before: ResourceRecord, update: ResourceRecord): ResourceRecord {
  return { ...before, ...update, ...(update.unified && { unified: { ...before.unified, ...update.unified } }) };
}

/** As the OCI has them. A quota of -1 (no limit) is left out on cgroup v1: crun 1.8 refuses it there. */
export function ociResources(record: ResourceRecord, cgroup: "v1" | "v2"): Omit<Resources, "devices"> {
  const cpu = compact({
    shares: record.cpuShares,
    quota: cgroup === "v1" && (record.cpuQuota ?? -1) < 0 ? undefined : record.cpuQuota,
    period: record.cpuPeriod,
    cpus: record.cpusetCpus,
    mems: record.cpusetMems,
  });
  const memory = compact({
    limit: record.memoryLimitInBytes,
    swap: record.memorySwapLimitInBytes,
  });
  return compact({
    cpu: Object.keys(cpu).length ? cpu : undefined,
    memory: Object.keys(memory).length ? memory : undefined,
    hugepageLimits: record.hugepageLimits,
    unified: cgroup === "v2" ? record.unified : undefined,
  });
}

type Compact<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** The object without its undefined members. */
export function compact<T extends object>(object: T): Compact<T> {
  // The entries are the object's own, less the undefined ones: what the type says.
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as Compact<T>;
}
