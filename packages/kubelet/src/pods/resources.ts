import { type Container, milliValue, parseQuantity, qosClass, type ResourceRequirements } from "@hawser/api";
import type { LinuxContainerResourcesSchema, MessageInitShape } from "@hawser/cri";
import type { BoundPod } from "./pod.ts";

/** Microseconds of one CFS period. */
const cpuPeriod = 100_000;
/** Bounds of cpu.shares and of a quota. Source: kubernetes pkg/kubelet/cm/helpers_linux.go */
const minShares = 2;
const maxShares = 262_144;
const minQuota = 1000;

/**
 * A container's limits for the runtime. No limit is 0, which the CRI takes as "not given".
 *
 * `memoryCapacity`: the node's memory in bytes; a burstable container's OOM score follows its share of it.
 */
export function linuxResources(
  pod: BoundPod,
  container: Container,
  memoryCapacity: number,
): MessageInitShape<typeof LinuxContainerResourcesSchema> {
  const { limits = {}, requests = {} } = container.resources ?? ({} as ResourceRequirements);
  const cpuLimit = milli(limits.cpu);
  const cpuRequest = milli(requests.cpu) ?? cpuLimit;
  const memoryLimit = positive(limits.memory) ?? 0;
  return {
    cpuShares: BigInt(shares(cpuRequest ?? 0)),
    ...(cpuLimit && { cpuPeriod: BigInt(cpuPeriod), cpuQuota: BigInt(quota(cpuLimit)) }),
    memoryLimitInBytes: BigInt(Math.floor(memoryLimit)),
    oomScoreAdj: BigInt(oomScoreAdjust(pod, container, memoryCapacity)),
  };
}

export function shares(milliCPU: number): number {
  return Math.min(maxShares, Math.max(minShares, Math.floor((milliCPU * 1024) / 1000)));
}

function quota(milliCPU: number): number {
  return Math.max(minQuota, Math.floor((milliCPU * cpuPeriod) / 1000));
}

/** Source: kubernetes pkg/kubelet/qos/policy.go */
export function oomScoreAdjust(pod: BoundPod, container: Container, memoryCapacity: number): number {
  if ((pod.spec.priority ?? 0) >= 2_000_000_000) return -997;
  const qos = qosClass(pod.spec);
  if (qos === "Guaranteed") return -997;
  if (qos === "BestEffort") return 1000;
  const request = positive(container.resources?.requests?.memory) ?? positive(container.resources?.limits?.memory) ?? 0;
  const score = 1000 - Math.floor((1000 * request) / memoryCapacity);
  return Math.min(999, Math.max(3, score));
}

function milli(text: string | undefined): number | undefined {
  return positive(text) === undefined ? undefined : milliValue(String(text));
}

function positive(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = parseQuantity(String(text));
  return value > 0 ? value : undefined;
}
