import type { Pod } from "@hawser/api";
import { type Informer, informer } from "@hawser/client";
import type { KubeletContext } from "../context.ts";
import { hasAppArmor, hasEnded, reject, tellRejected } from "./admission.ts";
import { ImagePuller } from "./images.ts";
import { removeOrphan, removeOrphanedFolders } from "./orphans.ts";
import { type BoundPod, boundPod } from "./pod.ts";
import { type RuntimeSnapshot, snapshot, watchRuntime } from "./relist.ts";
import { PodWorker } from "./worker.ts";

/** Takes the pods bound to this node from the API server, and has a worker for each. */
export interface PodManager extends AsyncDisposable {
  /** Resolves when the first list of pods is known. */
  readonly synced: Promise<void>;
  byName(namespace: string, name: string): PodWorker | undefined;
  workers(): PodWorker[];
}

/** Looks that a pod must be missing in the API before what the runtime has of it is removed. */
const looksUntilOrphan = 3;

/**
 * Starts to manage. Workers run side by side; one that goes wrong does not touch the others.
 * Disposing ends the workers; containers go on.
 */
export async function startPodManager(context: KubeletContext): Promise<PodManager> {
  const { settings, client, log } = context;
  const stop = new AbortController();
  const { signal } = stop;
  const puller = new ImagePuller(context);
  const workers = new Map<string, PodWorker>();
  const names = new Map<string, string>();
  /** Pods that the API server has no more, while their workers still clean up. */
  const removed = new Set<string>();
  const missing = new Map<string, number>();
  const removing = new Map<string, Promise<void>>();
  /** Pods that were refused, which is for good, until the API server has them as ended or has them no more; aborted when it need not be told any longer. */
  const rejected = new Map<string, AbortController>();
  const appArmor = await hasAppArmor();
  let inRuntime = await snapshot(context, signal);
  let synced = false;

  const nameOf = ({ metadata }: BoundPod) => `${metadata.namespace}/${metadata.name}`;

  function put(object: Pod): void {
    const pod = boundPod(object);
    if (!pod) return;
    const { uid } = pod.metadata;
    const name = nameOf(pod);
    const before = names.get(name);
    if (before && before !== uid) {
      workers.get(before)?.remove(); // a new pod of that name
      stopTelling(before);
    }
    names.set(name, uid);
    const known = workers.get(uid);
    if (known) {
      known.update(pod);
      return;
    }
    const going = pod.metadata.deletionTimestamp !== undefined;
    if (rejected.has(uid)) {
      if (!hasEnded(pod) && !going) return;
      stopTelling(uid);
    }
    if (!inRuntime.pods.has(uid) && !hasEnded(pod) && !going) {
      const active = [...workers.values()].filter(
        (one) => !one.ended && !hasEnded({ status: one.status ?? {} }),
      ).length;
      const rejection = reject(pod, { active, maxPods: settings.maxPods, appArmor });
      if (rejection) {
        const telling = new AbortController();
        rejected.set(uid, telling);
        tellRejected(context, pod, rejection, AbortSignal.any([signal, telling.signal])).catch((error: unknown) =>
          log.error("pod rejection", { error }),
        );
        return;
      }
    }
    const fresh = !inRuntime.pods.has(uid) && !removing.has(uid) && !going;
    // A worker that has ended stays until the API server says the pod is deleted: finalizers may keep the object.
    const onEnd = () => {
      if (names.get(name) !== uid || removed.has(uid)) forget(uid, name);
    };
    workers.set(uid, new PodWorker({ context, puller, fresh, onEnd }, pod));
  }

  function drop(object: Pod): void {
    const pod = boundPod(object);
    if (!pod) return;
    const { uid } = pod.metadata;
    stopTelling(uid);
    const worker = workers.get(uid);
    if (worker && !worker.ended) {
      removed.add(uid);
      worker.remove();
    } else forget(uid, nameOf(pod));
  }

  function stopTelling(uid: string): void {
    rejected.get(uid)?.abort();
    rejected.delete(uid);
  }

  function forget(uid: string, name: string): void {
    workers.delete(uid);
    removed.delete(uid);
    if (names.get(name) === uid) names.delete(name);
  }

  function adopt(now: RuntimeSnapshot): void {
    inRuntime = now;
    if (!synced) return;
    for (const uid of missing.keys()) if (!now.pods.has(uid)) missing.delete(uid);
    for (const uid of now.pods.keys()) {
      if (workers.has(uid) || removing.has(uid)) continue;
      const looks = (missing.get(uid) ?? 0) + 1;
      missing.set(uid, looks);
      if (looks < looksUntilOrphan) continue;
      const removal = removeOrphan(context, uid, signal)
        .catch((error: unknown) => {
          if (!signal.aborted) log.warn("orphaned pod not removed yet", { uid, error });
        })
        .finally(() => removing.delete(uid));
      removing.set(uid, removal);
    }
  }

  const ref = { resource: "pods" };
  const pods: Informer<Pod> = informer<Pod>(client, ref, {
    selectors: { fieldSelector: `spec.nodeName=${settings.nodeName}` },
    onAdd: put,
    onUpdate: (object, before) => {
      if (object.metadata?.uid !== before.metadata?.uid) drop(before);
      put(object);
    },
    onDelete: drop,
    onError: (error) => log.warn("pods from the API server", { error }),
    signal,
  });
  pods.synced.then(
    () => {
      synced = true;
      removeOrphanedFolders(context, (uid) => workers.has(uid) || inRuntime.pods.has(uid)).catch((error: unknown) =>
        log.warn("folders of old pods stay", { error }),
      );
    },
    () => undefined, // stopped before
  );
  const runtime = watchRuntime(context, {
    onChange: (uid) => workers.get(uid)?.wake(),
    onSnapshot: adopt,
    onRecovery: () => {
      for (const worker of workers.values()) worker.wake();
    },
    signal,
  });

  return {
    synced: pods.synced,
    byName: (namespace, name) => workers.get(names.get(`${namespace}/${name}`) ?? ""),
    workers: () => [...workers.values()],
    async [Symbol.asyncDispose]() {
      stop.abort(new Error("the kubelet stops"));
      await Promise.allSettled([pods.stopped, runtime, ...removing.values()]);
      await Promise.allSettled([...workers.values()].map((worker) => worker[Symbol.asyncDispose]()));
    },
  };
}
