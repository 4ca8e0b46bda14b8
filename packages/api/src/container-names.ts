import type { Pod } from "kubernetes-types/core/v1.js";

/**
 * All container names of a pod, in the order the real server lists them: init, regular, ephemeral.
 *
 * Source: kubernetes/kubernetes pkg/api/v1/pod/util.go VisitContainers
 */
export function podContainerNames(pod: Pod): string[] {
  const { initContainers = [], containers = [], ephemeralContainers = [] } = pod.spec ?? {};
  return [...initContainers, ...containers, ...ephemeralContainers].map(({ name }) => name);
}
