import type { PodManager } from "../pods/manager.ts";
import { isRunning, readySandbox, type ViewContainer } from "../pods/view.ts";
import type { PodWorker } from "../pods/worker.ts";
import { HTTPError } from "./http-error.ts";

export interface PodPath {
  namespace: string;
  pod: string;
  uid?: string | undefined;
}

/** The pod a request names. Throws HTTPError 404. */
export function findPod(pods: Pick<PodManager, "byName">, { namespace, pod, uid }: PodPath): PodWorker {
  const worker = pods.byName(namespace, pod);
  if (!worker || worker.ended || (uid && worker.pod.metadata.uid !== uid))
    throw new HTTPError(404, "pod does not exist");
  return worker;
}

/** The running container of that name. Throws HTTPError: a 500, as the real kubelet does. */
export function findRunning(worker: PodWorker, name: string): ViewContainer {
  const [current] = worker.view.containers.get(name) ?? [];
  if (!isRunning(current)) throw new HTTPError(500, `container not found (${JSON.stringify(name)})`);
  return current;
}

/** The id of the pod's sandbox. Throws HTTPError 500 when it has none that is up. */
export function findSandbox(worker: PodWorker): string {
  const sandbox = readySandbox(worker.view);
  if (!sandbox) throw new HTTPError(500, `sandbox not found for pod "${worker.pod.metadata.name}"`);
  return sandbox.id;
}
