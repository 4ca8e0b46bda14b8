import type { Container, ObjectMeta, Pod, PodSpec } from "@hawser/api";

/** A pod as the API server hands it to a node: with what this package needs surely there. */
export interface BoundPod extends Pod {
  metadata: ObjectMeta & { name: string; namespace: string; uid: string };
  spec: PodSpec;
}

/** Undefined for an object that is no whole pod. */
export function boundPod(pod: Pod): BoundPod | undefined {
  const { metadata, spec } = pod;
  if (!metadata?.name || !metadata.namespace || !metadata.uid || !spec) return undefined;
  return pod as BoundPod; // just checked
}

/** `web_default(1234-…)`, as the kubelet's messages name a pod. */
export function podText({ metadata }: BoundPod): string {
  return `${metadata.name}_${metadata.namespace}(${metadata.uid})`;
}

export type ContainerKind = "init" | "sidecar" | "regular" | "ephemeral";

export interface PodContainer {
  kind: ContainerKind;
  container: Container;
  /** For an ephemeral container: whose process namespace it shares. */
  target?: string;
}

/** All containers, in the order they start. A sidecar is an init container with restartPolicy Always. */
export function podContainers({ spec }: BoundPod): PodContainer[] {
  return [
    ...(spec.initContainers ?? []).map((container): PodContainer => {
      return { kind: container.restartPolicy === "Always" ? "sidecar" : "init", container };
    }),
    ...spec.containers.map((container): PodContainer => ({ kind: "regular", container })),
    ...(spec.ephemeralContainers ?? []).map(({ targetContainerName, ...container }): PodContainer => {
      return { kind: "ephemeral", container, ...(targetContainerName && { target: targetContainerName }) };
    }),
  ];
}

export function restartPolicy({ spec }: BoundPod): "Always" | "OnFailure" | "Never" {
  return spec.restartPolicy === "Never" || spec.restartPolicy === "OnFailure" ? spec.restartPolicy : "Always";
}

/** Has a process that ended so to be started again? */
export function restarts(pod: BoundPod, kind: ContainerKind, exitCode: number): boolean {
  if (kind === "ephemeral") return false;
  if (kind === "sidecar") return true;
  const policy = restartPolicy(pod);
  if (kind === "init") return exitCode !== 0 && policy !== "Never";
  return policy === "Always" || (policy === "OnFailure" && exitCode !== 0);
}

/** The parts of a pod that a worker acts on, as one comparable text. */
export function whatCounts({ metadata, spec, status }: BoundPod): string {
  const { labels, annotations, deletionTimestamp, deletionGracePeriodSeconds } = metadata;
  const gates = (spec.readinessGates ?? []).map(({ conditionType }) => {
    return status?.conditions?.find(({ type }) => type === conditionType)?.status;
  });
  return JSON.stringify([spec, labels, annotations, deletionTimestamp, deletionGracePeriodSeconds, gates]);
}
