import { type NodeCondition, rfc3339 } from "@hawser/api";
import type { NodePressure } from "./facts.ts";

/** Below or above these a node is under pressure. Source: kubernetes pkg/kubelet/eviction defaults */
const leastMemory = 100 * 1024 * 1024;
const leastDisk = 0.1;
const leastInodes = 0.05;
const leastPIDs = 0.05;

export interface RuntimeReadiness {
  ready: boolean;
  /** What is wrong; empty when all is well. */
  message: string;
}

/** A node's conditions now; times of change are kept from `before`. */
export function nodeConditions(
  { pressure, runtime, now }: { pressure: NodePressure; runtime: RuntimeReadiness; now: number },
  before: NodeCondition[] = [],
): NodeCondition[] {
  const time = rfc3339(now);
  const { memoryAvailable, disk, pids } = pressure;
  const lowDisk =
    disk.available < disk.size * leastDisk || (disk.inodes > 0 && disk.inodesFree < disk.inodes * leastInodes);
  const state = (bad: boolean, type: string, reasons: [good: string, bad: string], messages: [string, string]) => ({
    type,
    status: bad ? "True" : "False",
    reason: bad ? reasons[1] : reasons[0],
    message: bad ? messages[1] : messages[0],
  });
  const wanted = [
    state(
      memoryAvailable < leastMemory,
      "MemoryPressure",
      ["KubeletHasSufficientMemory", "KubeletHasInsufficientMemory"],
      ["kubelet has sufficient memory available", "kubelet has insufficient memory available"],
    ),
    state(
      lowDisk,
      "DiskPressure",
      ["KubeletHasNoDiskPressure", "KubeletHasDiskPressure"],
      ["kubelet has no disk pressure", "kubelet has disk pressure"],
    ),
    state(
      pids.limit > 0 && pids.limit - pids.used < pids.limit * leastPIDs,
      "PIDPressure",
      ["KubeletHasSufficientPID", "KubeletHasInsufficientPID"],
      ["kubelet has sufficient PID available", "kubelet has insufficient PID available"],
    ),
    {
      type: "Ready",
      status: runtime.ready ? "True" : "False",
      reason: runtime.ready ? "KubeletReady" : "KubeletNotReady",
      message: runtime.ready ? "kubelet is posting ready status" : runtime.message,
    },
  ];
  return wanted.map((condition) => {
    const old = before.find(({ type }) => type === condition.type);
    const lastTransitionTime = old?.status === condition.status ? (old.lastTransitionTime ?? time) : time;
    return { ...condition, lastHeartbeatTime: time, lastTransitionTime };
  });
}
