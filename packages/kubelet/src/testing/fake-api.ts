import { type KubernetesObject, type Pod, type PodStatus, StatusError, type WatchEvent } from "@hawser/api";
import type { KubeClient, ResourceRef } from "@hawser/client";

/** An API server as far as a kubelet's pods need one: pods with their statuses, events, ConfigMaps and Secrets. */
export interface FakeAPI {
  client: KubeClient;
  pods: Map<string, Pod>;
  events: { reason: string; message: string; object: string }[];
  /** ConfigMaps and Secrets by `configmaps/default/name`. */
  objects: Map<string, KubernetesObject>;
  /** All statuses a pod was given, oldest first. */
  statuses(name: string): PodStatus[];
  put(pod: Pod): void;
  /** What `kubectl delete` does: sets the deletion timestamp; the kubelet has to confirm. */
  delete(name: string, gracePeriodSeconds: number): void;
  /** Deletes without asking the kubelet. */
  forget(name: string): void;
  /** Resolves with the pod's status as soon as one satisfies; rejects when the pod goes meanwhile. */
  until(name: string, condition: (status: PodStatus) => boolean): Promise<PodStatus>;
  gone(name: string): Promise<void>;
}

export function createFakeAPI(): FakeAPI {
  let version = 1;
  const watchers = new Set<(event: WatchEvent<Pod>) => void>();
  const listeners = new Set<() => void>();
  const history = new Map<string, PodStatus[]>();
  const pods = new Map<string, Pod>();
  const events: FakeAPI["events"] = [];
  const objects = new Map<string, KubernetesObject>();

  function change(type: "ADDED" | "MODIFIED" | "DELETED", pod: Pod): void {
    const object = { ...pod, metadata: { ...pod.metadata, resourceVersion: String(++version) } };
    const name = object.metadata.name ?? "";
    if (type === "DELETED") pods.delete(name);
    else pods.set(name, object);
    for (const watcher of watchers) watcher({ type, object });
    for (const listener of listeners) listener();
  }
  function podOf(name: string): Pod {
    const pod = pods.get(name);
    if (!pod)
      throw new StatusError({ status: "Failure", code: 404, reason: "NotFound", message: `pods "${name}" not found` });
    return pod;
  }
  function waitFor<T>(look: () => T | undefined): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const listener = () => {
      try {
        const found = look();
        if (found !== undefined) resolve(found);
      } catch (error) {
        reject(error);
      }
    };
    listeners.add(listener);
    listener();
    return promise.finally(() => listeners.delete(listener));
  }

  const client: Partial<KubeClient> = {
    async get<T extends KubernetesObject>(ref: ResourceRef): Promise<T> {
      const found =
        ref.resource === "pods" ? podOf(ref.name ?? "") : objects.get(`${ref.resource}/${ref.namespace}/${ref.name}`);
      if (!found) throw new StatusError({ status: "Failure", code: 404, reason: "NotFound", message: "not found" });
      return found as T;
    },
    async list<T extends KubernetesObject>() {
      const items = [...pods.values()] as unknown as T[]; // the test asks for pods
      return { apiVersion: "v1", kind: "PodList", metadata: { resourceVersion: String(version) }, items };
    },
    async *watch<T extends KubernetesObject>(_ref: ResourceRef, { signal }: { signal?: AbortSignal } = {}) {
      const queue: WatchEvent<Pod>[] = [];
      let wake = () => {};
      const watcher = (event: WatchEvent<Pod>) => {
        queue.push(event);
        wake();
      };
      watchers.add(watcher);
      signal?.addEventListener("abort", () => wake());
      try {
        while (!signal?.aborted) {
          const event = queue.shift();
          if (event) yield event as unknown as WatchEvent<T>;
          else await new Promise<void>((resolve) => (wake = resolve));
        }
      } finally {
        watchers.delete(watcher);
      }
    },
    async patch<T extends KubernetesObject>(ref: ResourceRef, patch: unknown): Promise<T> {
      if (ref.resource !== "pods") return {} as T;
      const pod = podOf(ref.name ?? "");
      const { metadata, status } = patch as { metadata: { uid: string }; status: PodStatus };
      if (metadata.uid !== pod.metadata?.uid)
        throw new StatusError({ status: "Failure", code: 409, reason: "Conflict" });
      const list = history.get(ref.name ?? "") ?? [];
      history.set(ref.name ?? "", [...list, status]);
      change("MODIFIED", { ...pod, status: { ...pod.status, ...status } });
      return podOf(ref.name ?? "") as T;
    },
    async create<T extends KubernetesObject>(ref: ResourceRef, object: T): Promise<T> {
      if (ref.resource === "events") {
        const { reason, message, involvedObject } = object as unknown as {
          reason: string;
          message: string;
          involvedObject: { name: string };
        };
        events.push({ reason, message, object: involvedObject.name });
        for (const listener of listeners) listener();
      }
      return object;
    },
    async delete<T extends KubernetesObject>(ref: ResourceRef): Promise<T> {
      const pod = podOf(ref.name ?? "");
      change("DELETED", pod);
      return pod as unknown as T;
    },
  };
  return {
    client: client as KubeClient, // the rest is not called
    pods,
    events,
    objects,
    statuses: (name) => history.get(name) ?? [],
    put: (pod) => change(pods.has(pod.metadata?.name ?? "") ? "MODIFIED" : "ADDED", pod),
    delete(name, deletionGracePeriodSeconds) {
      const pod = podOf(name);
      const deletion = { deletionTimestamp: new Date().toISOString(), deletionGracePeriodSeconds };
      change("MODIFIED", { ...pod, metadata: { ...pod.metadata, ...deletion } });
    },
    forget: (name) => change("DELETED", podOf(name)),
    until: (name, condition) =>
      waitFor(() => {
        const status = podOf(name).status ?? {};
        return condition(status) ? status : undefined;
      }),
    gone: (name) => waitFor(() => (pods.has(name) ? undefined : true)).then(() => undefined),
  };
}
