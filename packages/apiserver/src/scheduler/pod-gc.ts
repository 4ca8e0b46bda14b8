import { type Node, type Pod, StatusError } from "@hawser/api";
import { type Change, follow, keyOf } from "../follow.ts";
import type { SchedulerOptions } from "../request.ts";

/** A node that is gone may come back within this time, and its pods with it. Milliseconds. */
const quarantine = 40_000;

export interface PodCollectorOptions extends SchedulerOptions {
  /** Milliseconds. */
  quarantine?: number;
}

/**
 * Deletes the pods of nodes that do not exist: there is no kubelet that could ever end them.
 *
 * Source: kubernetes/kubernetes pkg/controller/podgc/gc_controller.go gcOrphaned
 */
export async function startPodCollector(options: PodCollectorOptions): Promise<AsyncDisposable> {
  const { objects, log, quarantine: delay = quarantine } = options;
  const stop = new AbortController();
  const { signal } = stop;
  /** Timers of the node names pods name and nobody has. */
  const missing = new Map<string, NodeJS.Timeout>();
  const running = new Set<Promise<void>>();

  const suspect = (nodeName: string) => {
    if (missing.has(nodeName) || nodes.items.has(nodeName) || signal.aborted) return;
    const timer = setTimeout(() => {
      missing.delete(nodeName);
      if (nodes.items.has(nodeName)) return;
      const collecting = collect(nodeName)
        .catch((error: unknown) => {
          log.warn("pods of a gone node could not be deleted", { node: nodeName, error });
          suspect(nodeName); // tried again
        })
        .finally(() => running.delete(collecting));
      running.add(collecting);
    }, delay);
    timer.unref();
    missing.set(nodeName, timer);
  };

  const collect = async (nodeName: string) => {
    for (const pod of pods.items.values()) {
      if (pod.spec?.nodeName !== nodeName) continue;
      const { namespace = "", name = "", uid } = pod.metadata ?? {};
      log.info("PodGC is force deleting Pod: its node no longer exists", { pod: keyOf(pod), node: nodeName });
      try {
        await objects.delete({ resource: "pods", namespace, name, gracePeriodSeconds: 0, ...(uid && { uid }) });
      } catch (error) {
        // Gone, or another pod of the same name by now.
        if (!(error instanceof StatusError) || (error.code !== 404 && error.code !== 409)) throw error;
      }
    }
  };

  const onNode = ({ type, object }: Change<Node>) => {
    const name = keyOf(object);
    if (type === "delete") return suspect(name);
    clearTimeout(missing.get(name));
    missing.delete(name);
  };
  const onPod = ({ type, object }: Change<Pod>) => {
    if (type === "set" && object.spec?.nodeName) suspect(object.spec.nodeName);
  };
  const nodes = follow<Node>(objects, { resource: "nodes" }, { signal, log, onChange: onNode });
  const pods = follow<Pod>(objects, { resource: "pods" }, { signal, log, onChange: onPod });
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      for (const timer of missing.values()) clearTimeout(timer);
      await Promise.all([nodes.ended, pods.ended, ...running]);
    },
  };
}
