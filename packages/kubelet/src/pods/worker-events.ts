import type { Involved } from "../events.ts";
import { type BoundPod, podContainers } from "./pod.ts";

const lists = {
  init: "initContainers",
  sidecar: "initContainers",
  regular: "containers",
  ephemeral: "ephemeralContainers",
};

/** The object an event is about: the pod, or one container of it. */
export function involved(pod: BoundPod, containerName?: string): Involved {
  const { namespace, name, uid } = pod.metadata;
  const found = podContainers(pod).find(({ container }) => container.name === containerName);
  const fieldPath = found && `spec.${lists[found.kind]}{${containerName}}`;
  return { kind: "Pod", namespace, name, uid, ...(fieldPath && { fieldPath }) };
}
