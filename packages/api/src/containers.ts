import type { Container, Pod, PodSpec } from "./core.ts";

/**
 * All containers of a pod, in the order the real server lists them: init, regular, ephemeral.
 *
 * Source: kubernetes/kubernetes pkg/api/v1/pod/util.go VisitContainers
 */
export function allContainers(spec: Partial<PodSpec>): Container[] {
  const { initContainers = [], containers = [], ephemeralContainers = [] } = spec;
  return [...initContainers, ...containers, ...ephemeralContainers];
}

export function podContainerNames({ spec }: Pod): string[] {
  return allContainers(spec ?? {}).map(({ name }) => name);
}
