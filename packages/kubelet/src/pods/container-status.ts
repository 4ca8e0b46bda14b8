import {
  type ContainerState as APIState,
  type ContainerStatus as APIStatus,
  type Container,
  type PodStatus,
  rfc3339,
} from "@hawser/api";
import { type BoundPod, type PodContainer, restarts } from "./pod.ts";
import { attemptOf, isExited, isRunning, type PodView, type ViewContainer } from "./view.ts";

/** Why a container does not run though it should. */
export interface WaitingReason {
  reason: string;
  message?: string;
}

export interface StatusInputs {
  runtimeName: string;
  /** By container name: what its last start failed with. */
  waiting: Map<string, WaitingReason>;
  /** By container id: its termination message. */
  messages: Map<string, string>;
  isReady(containerId: string): boolean;
  startupPassed(containerId: string): boolean;
  /** No container will start any more. */
  ending: boolean;
  /** The last status computed; at first, the one from the API. */
  previous: PodStatus | undefined;
}

/**
 * One container's status as the API shows it.
 *
 * Source: kubernetes pkg/kubelet/kubelet_pods.go convertToAPIContainerStatuses
 */
export function containerStatus(
  pod: BoundPod,
  { kind, container }: PodContainer,
  view: PodView,
  inputs: StatusInputs,
): APIStatus {
  const [current, previous] = view.containers.get(container.name) ?? [];
  if (!current && inputs.ending) {
    // The runtime may have lost it since, with its machine say; how it ended was told, and stands.
    const told = toldStatus(inputs.previous, container.name);
    if (told?.state?.terminated) return told;
  }
  const waiting = inputs.waiting.get(container.name);
  const fallback = defaultReason(pod, kind);
  const base = {
    name: container.name,
    restartCount: current ? attemptOf(current) : 0,
    image: imageName(container, current),
    imageID: current?.status.imageRef ?? "",
    ...(current && { containerID: `${inputs.runtimeName}://${current.status.id}` }),
  };
  const ended = (one: ViewContainer | undefined): APIState => (isExited(one) ? terminated(one, inputs) : {});
  if (isRunning(current)) {
    const started = inputs.startupPassed(current.status.id);
    const ready = started && kind !== "init" && kind !== "ephemeral" && inputs.isReady(current.status.id);
    const state: APIState = { running: { startedAt: timeText(current.status.startedAt) } };
    return { ...base, state, lastState: ended(previous), started, ready };
  }
  if (isExited(current)) {
    const again = !inputs.ending && waiting && restarts(pod, kind, current.status.exitCode);
    if (again) return { ...base, state: { waiting }, lastState: ended(current), started: false, ready: false };
    const ready = kind === "init" && current.status.exitCode === 0;
    return { ...base, state: ended(current), lastState: ended(previous), started: false, ready };
  }
  const state = { waiting: waiting ?? { reason: fallback } };
  return { ...base, state, lastState: ended(previous), started: false, ready: false };
}

function toldStatus(status: PodStatus | undefined, name: string): APIStatus | undefined {
  const { initContainerStatuses = [], containerStatuses = [], ephemeralContainerStatuses = [] } = status ?? {};
  return [...initContainerStatuses, ...containerStatuses, ...ephemeralContainerStatuses].find(
    (one) => one.name === name,
  );
}

function defaultReason(pod: BoundPod, kind: PodContainer["kind"]): string {
  const hasInit = (pod.spec.initContainers ?? []).length > 0;
  return hasInit && kind !== "ephemeral" ? "PodInitializing" : "ContainerCreating";
}

function terminated({ status }: ViewContainer, { runtimeName, messages }: StatusInputs): APIState {
  const text = messages.get(status.id) || status.message;
  return {
    terminated: {
      exitCode: status.exitCode,
      reason: status.reason || (status.exitCode === 0 ? "Completed" : "Error"),
      ...(text && { message: text }),
      startedAt: timeText(status.startedAt),
      finishedAt: timeText(status.finishedAt),
      containerID: `${runtimeName}://${status.id}`,
    },
  };
}

function imageName(container: Container, current: ViewContainer | undefined): string {
  const { userSpecifiedImage = "", image = "" } = current?.status.image ?? {};
  // A bare id tells people nothing: the pod's own word is better then.
  const named = userSpecifiedImage || (image.startsWith("sha256:") ? "" : image);
  return named || container.image || "";
}

/** Nanoseconds since 1970 as the API writes times, to the second. */
function timeText(nanos: bigint): string {
  return rfc3339(Number(nanos / 1_000_000n));
}
