// How a kubelet marks what it has a runtime make, so that it finds it again after a restart, and crictl shows it.
// Source: kubernetes staging/src/k8s.io/kubelet/pkg/types/labels.go, pkg/kubelet/kuberuntime/labels.go
import { createHash } from "node:crypto";
import type { Container } from "@hawser/api";
import type { BoundPod } from "./pod.ts";

export const podNameLabel = "io.kubernetes.pod.name";
export const podNamespaceLabel = "io.kubernetes.pod.namespace";
export const podUIDLabel = "io.kubernetes.pod.uid";
export const containerNameLabel = "io.kubernetes.container.name";

export const hashAnnotation = "io.kubernetes.container.hash";
const restartCountAnnotation = "io.kubernetes.container.restartCount";
const messagePathAnnotation = "io.kubernetes.container.terminationMessagePath";
const messagePolicyAnnotation = "io.kubernetes.container.terminationMessagePolicy";
export const gracePeriodAnnotation = "io.kubernetes.pod.terminationGracePeriod";

export function podLabels({ metadata }: BoundPod): Record<string, string> {
  return {
    ...metadata.labels,
    [podNameLabel]: metadata.name,
    [podNamespaceLabel]: metadata.namespace,
    [podUIDLabel]: metadata.uid,
  };
}

export function sandboxAnnotations({ metadata }: BoundPod): Record<string, string> {
  return { ...metadata.annotations, "kubernetes.io/config.source": "api" };
}

export function containerLabels({ metadata }: BoundPod, container: Container): Record<string, string> {
  return {
    [containerNameLabel]: container.name,
    [podNameLabel]: metadata.name,
    [podNamespaceLabel]: metadata.namespace,
    [podUIDLabel]: metadata.uid,
  };
}

export function containerAnnotations(pod: BoundPod, container: Container, attempt: number): Record<string, string> {
  return {
    [hashAnnotation]: containerHash(container),
    [restartCountAnnotation]: String(attempt),
    [messagePathAnnotation]: container.terminationMessagePath ?? "/dev/termination-log",
    [messagePolicyAnnotation]: container.terminationMessagePolicy ?? "File",
    [gracePeriodAnnotation]: String(gracePeriod(pod)),
  };
}

/** Changes when a running container no longer is what the pod asks for. Only the image may change in a live pod. */
export function containerHash({ name, image }: Container): string {
  return createHash("sha256")
    .update(JSON.stringify([name, image]))
    .digest("hex")
    .slice(0, 8);
}

/** The most that a container gets to end, seconds: what the longest timer can count. A pod may ask for centuries. */
export const maxGrace = Math.floor((2 ** 31 - 1) / 1000);

/** Seconds between SIGTERM and SIGKILL: the deletion's word, else the pod's, else 30. A pod that must go at once still gets 1. */
export function gracePeriod({ metadata, spec }: BoundPod): number {
  const seconds = metadata.deletionTimestamp ? metadata.deletionGracePeriodSeconds : undefined;
  return Math.min(maxGrace, Math.max(1, seconds ?? spec.terminationGracePeriodSeconds ?? 30));
}
