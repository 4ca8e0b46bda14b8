import type { Container, Pod } from "@hawser/api";
import { CommandError } from "../errors.ts";

/** The annotation that says which container is meant when none is named. */
const defaultContainer = "kubectl.kubernetes.io/default-container";

export type ContainerSet = "containers" | "initContainers" | "ephemeralContainers";
export type FoundContainer = Pick<Container, "name" | "tty" | "stdin"> & { set: ContainerSet };

/** A pod's containers in the order kubectl looks through them. */
export function containersOf({ spec }: Pod): FoundContainer[] {
  const tagged = (set: ContainerSet) => (spec?.[set] ?? []).map((container) => ({ ...container, set }));
  return [...tagged("containers"), ...tagged("initContainers"), ...tagged("ephemeralContainers")];
}

/** `a, b, debugger (ephem), setup (init)`. */
export function allContainerNames(pod: Pod): string {
  const names = (set: ContainerSet, mark: string) => (pod.spec?.[set] ?? []).map(({ name }) => name + mark);
  return [
    ...names("containers", ""),
    ...names("ephemeralContainers", " (ephem)"),
    ...names("initContainers", " (init)"),
  ].join(", ");
}

/**
 * The container that is meant: the one named, else the pod's annotation's, else the first one, of which `tell` is told
 * when there are others. Throws CommandError for one that is not there.
 *
 * Source: kubernetes/kubectl pkg/cmd/util/podcmd/podcmd.go
 */
export function chooseContainer(pod: Pod, name: string, tell?: (line: string) => void): FoundContainer {
  const containers = containersOf(pod);
  const [first] = containers;
  if (!first)
    throw new CommandError(`pod ${pod.metadata?.namespace}/${pod.metadata?.name} does not have any containers`);
  const wanted = name || pod.metadata?.annotations?.[defaultContainer] || "";
  if (!wanted) {
    if (containers.length > 1) tell?.(defaulted(pod, first.name));
    return first;
  }
  const found = containers.find((container) => container.name === wanted);
  if (!found) throw noSuchContainer(pod, wanted);
  return found;
}

/** The container the annotation names, when it is there. */
export function annotatedContainer(pod: Pod): { name: string; found: boolean } | undefined {
  const name = pod.metadata?.annotations?.[defaultContainer];
  return name ? { name, found: containersOf(pod).some((container) => container.name === name) } : undefined;
}

export function defaulted(pod: Pod, name: string): string {
  return `Defaulted container ${JSON.stringify(name)} out of: ${allContainerNames(pod)}`;
}

export function noSuchContainer(pod: Pod, name: string): CommandError {
  return new CommandError(
    `container ${name} is not valid for pod ${pod.metadata?.name} out of: ${allContainerNames(pod)}`,
  );
}
