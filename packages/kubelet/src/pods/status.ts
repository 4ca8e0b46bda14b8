import { type ContainerStatus, type PodCondition, type PodStatus, qosClass, rfc3339 } from "@hawser/api";
import { containerStatus, type StatusInputs } from "./container-status.ts";
import { type Phase, podPhase } from "./phase.ts";
import { type BoundPod, podContainers } from "./pod.ts";
import { type PodView, readySandbox, sandboxIPs } from "./view.ts";

export interface PodStatusInputs extends StatusInputs {
  nodeIP: string;
  /** When this kubelet first saw the pod, milliseconds since 1970. */
  acceptedAt: number;
  now: number;
  /** The kubelet itself has ended the pod. */
  failure?: { reason: string; message: string } | undefined;
}

/**
 * A pod's status, from what the runtime has. A pod that has ended never comes back to life.
 *
 * Source: kubernetes pkg/kubelet/kubelet_pods.go generateAPIPodStatus
 */
export function podStatus(pod: BoundPod, view: PodView, inputs: PodStatusInputs): PodStatus {
  const { previous = {}, failure, nodeIP } = inputs;
  const statuses = (kinds: string[]) =>
    podContainers(pod)
      .filter(({ kind }) => kinds.includes(kind))
      .map((one) => ({ one, status: containerStatus(pod, one, view, inputs) }));
  const init = statuses(["init", "sidecar"]).map(({ status }) => status);
  const regular = statuses(["regular"]).map(({ status }) => status);
  // Sidecars count for readiness, plain init containers do not.
  const serving = statuses(["sidecar", "regular"]).map(({ status }) => status);
  const ephemeral = statuses(["ephemeral"]).map(({ status }) => status);

  const over = previous.phase === "Failed" || previous.phase === "Succeeded";
  const computed = failure ? "Failed" : podPhase(pod, init, regular);
  const phase: Phase = over ? (previous.phase as Phase) : computed;
  const known = sandboxIPs(view.sandboxes[0]);
  const own = previous.podIPs?.map(({ ip }) => ip ?? "").filter(Boolean) ?? [];
  const ips = pod.spec.hostNetwork ? [nodeIP] : known.length > 0 ? known : own;
  const reason = failure?.reason ?? (over ? previous.reason : undefined);
  const message = failure?.message ?? (over ? previous.message : undefined);
  return {
    phase,
    ...(reason && { reason }),
    ...(message && { message }),
    conditions: conditions(pod, {
      init,
      serving,
      phase,
      hasNetwork: Boolean(readySandbox(view) && ips.length > 0),
      inputs,
    }),
    hostIP: nodeIP,
    hostIPs: [{ ip: nodeIP }],
    ...(ips.length > 0 && { podIP: ips[0] ?? "", podIPs: ips.map((ip) => ({ ip })) }),
    startTime: previous.startTime ?? rfc3339(inputs.acceptedAt),
    ...(init.length > 0 && { initContainerStatuses: init }),
    containerStatuses: regular,
    ...(ephemeral.length > 0 && { ephemeralContainerStatuses: ephemeral }),
    qosClass: qosClass(pod.spec),
  };
}

interface ConditionInputs {
  init: ContainerStatus[];
  serving: ContainerStatus[];
  phase: Phase;
  hasNetwork: boolean;
  inputs: PodStatusInputs;
}

/** Source: kubernetes pkg/kubelet/status/generate.go */
function conditions(pod: BoundPod, { init, serving, phase, hasNetwork, inputs }: ConditionInputs): PodCondition[] {
  const { previous, now } = inputs;
  const before = previous?.conditions ?? pod.status?.conditions ?? [];
  const ended: Condition | undefined =
    phase === "Succeeded" ? no("PodCompleted") : phase === "Failed" ? no("PodFailed") : undefined;

  const waitingInit = init.filter(
    (one) => !(one.ready || one.state?.terminated?.exitCode === 0 || sidecarUp(pod, one)),
  );
  const anyStarted = serving.some(
    (one) => !isSidecar(pod, one.name) && (one.state?.running || one.state?.terminated || one.lastState?.terminated),
  );
  const initialised: Condition =
    waitingInit.length === 0 || anyStarted || phase === "Succeeded"
      ? yes(phase === "Succeeded" ? "PodCompleted" : undefined)
      : no("ContainersNotInitialized", `containers with incomplete status: [${names(waitingInit)}]`);

  const unready = serving.filter(({ ready }) => !ready);
  const containersReady: Condition =
    ended ??
    (unready.length === 0 ? yes() : no("ContainersNotReady", `containers with unready status: [${names(unready)}]`));
  const gates = (pod.spec.readinessGates ?? [])
    .map(({ conditionType }) => conditionType)
    .filter((type) => conditionOf(pod, type)?.status !== "True");
  const gateText = gates.map((type) =>
    conditionOf(pod, type)
      ? `the status of pod readiness gate "${type}" is not "True", but ${conditionOf(pod, type)?.status}`
      : `corresponding condition of pod readiness gate "${type}" does not exist.`,
  );
  const ready: Condition =
    containersReady.status === "True" && gates.length > 0
      ? no("ReadinessGatesNotReady", gateText.join(", "))
      : containersReady;

  const wanted: [string, Condition][] = [
    ["PodReadyToStartContainers", hasNetwork ? yes() : no()],
    ["Initialized", initialised],
    ["Ready", ready],
    ["ContainersReady", containersReady],
    ["PodScheduled", yes()],
  ];
  const time = rfc3339(now);
  return wanted.map(([type, condition]) => {
    const old = before.find((one) => one.type === type);
    const lastTransitionTime =
      old?.status === condition.status && old.lastTransitionTime ? old.lastTransitionTime : time;
    return { type, ...condition, lastTransitionTime };
  });
}

interface Condition {
  status: "True" | "False";
  reason?: string;
  message?: string;
}

function yes(reason?: string): Condition {
  return { status: "True", ...(reason && { reason }) };
}

function no(reason?: string, message?: string): Condition {
  return { status: "False", ...(reason && { reason }), ...(message && { message }) };
}

function names(statuses: ContainerStatus[]): string {
  return statuses.map(({ name }) => name).join(" ");
}

function conditionOf({ status }: BoundPod, type: string): PodCondition | undefined {
  return status?.conditions?.find((one) => one.type === type);
}

function isSidecar({ spec }: BoundPod, name: string): boolean {
  return (spec.initContainers ?? []).some((one) => one.name === name && one.restartPolicy === "Always");
}

function sidecarUp(pod: BoundPod, status: ContainerStatus): boolean {
  return isSidecar(pod, status.name) && Boolean(status.started);
}
