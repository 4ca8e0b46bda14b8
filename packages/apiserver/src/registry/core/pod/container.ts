import { badRequest, type Pod, podContainerNames } from "@hawser/api";

/**
 * The container a request on a pod means: the one it names, or the only one there is.
 *
 * Throws StatusError 400 when it names one the pod has not, or names none where there are several.
 * The default-container annotation is for clients: the server does not look at it.
 *
 * Source: kubernetes/kubernetes pkg/registry/core/pod/strategy.go validateContainer
 */
export function chooseContainer(pod: Pod, wanted: string | undefined): string {
  const podName = pod.metadata?.name ?? "";
  const all = podContainerNames(pod);
  if (wanted) {
    if (!all.includes(wanted)) throw badRequest(`container ${wanted} is not valid for pod ${podName}`);
    return wanted;
  }
  const [only, ...others] = pod.spec?.containers ?? [];
  if (!only) throw badRequest(`a container name must be specified for pod ${podName}`);
  if (others.length > 0) {
    throw badRequest(`a container name must be specified for pod ${podName}, choose one of: [${all.join(" ")}]`);
  }
  return only.name;
}

/** The node a pod runs on. Throws StatusError 400 while it has none. */
export function hostOf(pod: Pod): string {
  const node = pod.spec?.nodeName;
  if (!node) throw badRequest(`pod ${pod.metadata?.name ?? ""} does not have a host assigned`);
  return node;
}
