import type { ContainerStatus } from "@hawser/api";
import { type BoundPod, restartPolicy } from "./pod.ts";

export type Phase = "Pending" | "Running" | "Succeeded" | "Failed";

/**
 * A pod's phase, from what its containers' statuses say.
 *
 * Source: kubernetes pkg/kubelet/kubelet_pods.go getPhase
 */
export function podPhase(pod: BoundPod, init: ContainerStatus[], regular: ContainerStatus[]): Phase {
  const sidecars = new Set(
    (pod.spec.initContainers ?? []).filter((one) => one.restartPolicy === "Always").map(({ name }) => name),
  );
  let pendingInit = 0;
  let failedInit = 0;
  for (const { name } of pod.spec.initContainers ?? []) {
    const status = init.find((one) => one.name === name);
    if (sidecars.has(name)) {
      if (!status?.state?.running && !status?.lastState?.terminated) pendingInit++;
      continue;
    }
    const ended = status?.state?.terminated ?? (status?.state?.waiting && status.lastState?.terminated);
    if (!ended) pendingInit++;
    else if (ended.exitCode !== 0) failedInit++;
  }

  let unknown = 0;
  let running = 0;
  let waiting = 0;
  let stopped = 0;
  let succeeded = 0;
  for (const { name } of pod.spec.containers) {
    const status = regular.find((one) => one.name === name);
    if (!status?.state) unknown++;
    else if (status.state.running) running++;
    else if (status.state.terminated) {
      stopped++;
      if (status.state.terminated.exitCode === 0) succeeded++;
    } else if (status.lastState?.terminated) stopped++;
    else waiting++;
  }

  const policy = restartPolicy(pod);
  if (failedInit > 0) return policy === "Never" ? "Failed" : "Pending";
  if (pendingInit > 0 || waiting > 0) return "Pending";
  if (running > 0 && unknown === 0) return "Running";
  if (running === 0 && stopped > 0 && unknown === 0) {
    if (policy === "Always") return "Running";
    if (stopped === succeeded) return "Succeeded";
    return policy === "Never" ? "Failed" : "Running";
  }
  return "Pending";
}
