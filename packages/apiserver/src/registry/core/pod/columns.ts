import type { ContainerStatus, Pod } from "@hawser/api";
import { ageColumn, nameColumn, text } from "../../columns.ts";
import { ageOf } from "../../duration.ts";
import type { Column } from "../../kind.ts";

/** Source: kubernetes/kubernetes pkg/printers/internalversion/printers.go printPod */
export const podColumns: Column<Pod>[] = [
  nameColumn,
  text("Ready", "The aggregate readiness state of this pod for accepting traffic.", (pod) => summary(pod).ready),
  text("Status", "The aggregate status of the containers in this pod.", (pod) => summary(pod).status),
  {
    name: "Restarts",
    type: "string",
    description: "How often the containers in this pod have been restarted, and when that was last.",
    cell: (pod, now) => restartsText(pod, now),
  },
  ageColumn,
  text("IP", "Address of the pod.", ({ status }) => status?.podIPs?.[0]?.ip ?? status?.podIP ?? "", 1),
  text("Node", "Where the pod runs.", ({ spec }) => spec?.nodeName ?? "", 1),
  text(
    "Nominated Node",
    "Where the pod may run once there is room.",
    ({ status }) => status?.nominatedNodeName ?? "",
    1,
  ),
  text("Readiness Gates", "Conditions of others that hold, of those asked for.", readinessGates, 1),
];

interface Summary {
  ready: string;
  status: string;
  restarts: number;
  lastRestart?: string;
}

function summary(pod: Pod): Summary {
  const { spec, status = {}, metadata } = pod;
  const init = initSummary(pod);
  const sidecars = (spec?.initContainers ?? []).filter(isSidecar).length;
  const total = (spec?.containers ?? []).length + sidecars;
  let shown = init.reason ?? gated(pod) ?? (status.reason || status.phase || "");
  let { restarts, restarted } = init;
  let ready = init.ready;
  if (init.reason === undefined || isTrue(pod, "Initialized")) {
    restarts = init.sidecarRestarts;
    restarted = init.sidecarRestarted;
    let running = false;
    for (const container of (status.containerStatuses ?? []).toReversed()) {
      restarts += container.restartCount;
      restarted = later(restarted, finishedAt(container));
      shown = containerReason(container) ?? shown;
      if (container.ready && container.state?.running) {
        running = true;
        ready++;
      }
    }
    // One container is done, another goes on: the pod is not "Completed".
    if (shown === "Completed" && running) shown = isTrue(pod, "Ready") ? "Running" : "NotReady";
  }
  if (metadata?.deletionTimestamp) {
    if (status.reason === "NodeLost") shown = "Unknown";
    else if (status.phase !== "Succeeded" && status.phase !== "Failed") shown = "Terminating";
  }
  return { ready: `${ready}/${total}`, status: shown, restarts, ...(restarted && { lastRestart: restarted }) };
}

function initSummary({ spec, status = {} }: Pod) {
  const containers = spec?.initContainers ?? [];
  const seen = {
    reason: undefined as string | undefined,
    restarts: 0,
    restarted: undefined as string | undefined,
    sidecarRestarts: 0,
    sidecarRestarted: undefined as string | undefined,
    ready: 0,
  };
  for (const [index, container] of (status.initContainerStatuses ?? []).entries()) {
    const sidecar = containers.some((one) => one.name === container.name && isSidecar(one));
    seen.restarts += container.restartCount;
    seen.restarted = later(seen.restarted, finishedAt(container));
    if (sidecar) {
      seen.sidecarRestarts += container.restartCount;
      seen.sidecarRestarted = later(seen.sidecarRestarted, finishedAt(container));
    }
    const { terminated, waiting } = container.state ?? {};
    if (terminated?.exitCode === 0) continue;
    if (sidecar && container.started) {
      if (container.ready) seen.ready++;
      continue;
    }
    if (terminated) seen.reason = `Init:${terminated.reason || endOf(terminated)}`;
    else if (waiting?.reason && waiting.reason !== "PodInitializing") seen.reason = `Init:${waiting.reason}`;
    else seen.reason = `Init:${index}/${containers.length}`;
    break;
  }
  return seen;
}

function containerReason({ state }: ContainerStatus): string | undefined {
  if (state?.waiting?.reason) return state.waiting.reason;
  if (state?.terminated) return state.terminated.reason || endOf(state.terminated);
  return undefined;
}

function endOf({ signal, exitCode }: { signal?: number; exitCode: number }): string {
  return signal ? `Signal:${signal}` : `ExitCode:${exitCode}`;
}

function isSidecar(container: object): boolean {
  return "restartPolicy" in container && container.restartPolicy === "Always";
}

function finishedAt({ lastState }: ContainerStatus): string | undefined {
  const time = lastState?.terminated?.finishedAt;
  return time === undefined ? undefined : String(time);
}

function later(a: string | undefined, b: string | undefined): string | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return Date.parse(a) >= Date.parse(b) ? a : b;
}

function gated({ status }: Pod): string | undefined {
  const waits = status?.conditions?.some(({ type, reason }) => type === "PodScheduled" && reason === "SchedulingGated");
  return waits ? "SchedulingGated" : undefined;
}

function isTrue({ status }: Pod, condition: string): boolean {
  return status?.conditions?.some(({ type, status: value }) => type === condition && value === "True") ?? false;
}

function restartsText(pod: Pod, now: Date): string {
  const { restarts, lastRestart } = summary(pod);
  return restarts > 0 && lastRestart ? `${restarts} (${ageOf(lastRestart, now)} ago)` : String(restarts);
}

function readinessGates(pod: Pod): string {
  const gates = pod.spec?.readinessGates ?? [];
  if (gates.length === 0) return "";
  return `${gates.filter(({ conditionType }) => isTrue(pod, conditionType)).length}/${gates.length}`;
}
