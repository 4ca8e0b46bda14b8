import {
  type KubernetesObject,
  matchesFields,
  notFound,
  parseFieldSelector,
  StatusError,
  type WatchEvent,
} from "@hawser/api";
import type { ListOptions, Objects } from "../request.ts";

/** Objects kept in memory, for tests of what stands on them: `Objects` plus ways to set and remove an object from outside. */
export interface MemoryObjects extends Objects {
  /** Creates or replaces, and tells the watchers. */
  put<T extends KubernetesObject>(ref: { group?: string; resource: string }, object: T): T;
  remove(ref: { group?: string; resource: string; namespace?: string; name: string }): void;
  /** Ends every watch with 410, as compaction does. */
  expireWatches(): void;
}

interface Entry {
  key: string;
  object: KubernetesObject;
}

interface Listener {
  prefix: string;
  options: ListOptions;
  push(event: WatchEvent): void;
}

export function memoryObjects(): MemoryObjects {
  const stored = new Map<string, Entry>();
  const history: { revision: number; key: string; event: WatchEvent }[] = [];
  const listeners = new Set<Listener>();
  let revision = 0;
  const tell = (key: string, event: WatchEvent) => {
    history.push({ revision, key, event });
    for (const listener of listeners) if (wants(listener, key, event)) listener.push(event);
  };
  const put = (ref: { group?: string; resource: string }, object: KubernetesObject) => {
    const key = keyFor(ref, object.metadata?.namespace, object.metadata?.name ?? "");
    revision++;
    const known = stored.has(key);
    const metadata = { uid: `uid-${revision}`, ...object.metadata, resourceVersion: String(revision) };
    const saved = { ...object, metadata };
    stored.set(key, { key, object: saved });
    tell(key, { type: known ? "MODIFIED" : "ADDED", object: saved });
    return saved;
  };
  const read = (ref: { group?: string; resource: string; namespace?: string; name: string }) => {
    const entry = stored.get(keyFor(ref, ref.namespace, ref.name));
    if (!entry) throw notFound(ref, ref.name);
    return entry.object;
  };
  // The callers know what they stored under a resource: hence the casts.
  return {
    put: <T>(ref: { group?: string; resource: string }, object: T) => put(ref, object as KubernetesObject) as T,
    remove(ref) {
      const key = keyFor(ref, ref.namespace, ref.name);
      const entry = stored.get(key);
      if (!entry || !stored.delete(key)) return;
      revision++;
      const metadata = { ...entry.object.metadata, resourceVersion: String(revision) };
      tell(key, { type: "DELETED", object: { ...entry.object, metadata } });
    },
    expireWatches() {
      const status = { status: "Failure", code: 410, reason: "Expired", message: "too old resource version" } as const;
      for (const listener of listeners) listener.push({ type: "ERROR", object: status });
    },
    get: async <T>(ref: Parameters<typeof read>[0]) => read(ref) as T,
    async list<T>(options: ListOptions) {
      const prefix = prefixFor(options);
      const items = [...stored.values()].filter(
        ({ key, object }) => key.startsWith(prefix) && selected(options, object),
      );
      return { items: items.map(({ object }) => object as T), resourceVersion: String(revision) };
    },
    async *watch<T extends KubernetesObject>(options: ListOptions & { resourceVersion: string; signal: AbortSignal }) {
      const queue: WatchEvent[] = [];
      let wake = () => {};
      const listener: Listener = {
        prefix: prefixFor(options),
        options,
        push(event) {
          queue.push(event);
          wake();
        },
      };
      const missed = history.filter((past) => past.revision > Number(options.resourceVersion));
      queue.push(...missed.filter(({ key, event }) => wants(listener, key, event)).map(({ event }) => event));
      listeners.add(listener);
      const onAbort = () => wake();
      options.signal.addEventListener("abort", onAbort);
      try {
        while (!options.signal.aborted) {
          const event = queue.shift();
          if (event) {
            yield event as WatchEvent<T>;
            continue;
          }
          const { promise, resolve } = Promise.withResolvers<void>();
          wake = resolve;
          await promise;
        }
      } finally {
        listeners.delete(listener);
        options.signal.removeEventListener("abort", onAbort);
      }
    },
    async create<T>(ref: { group?: string; resource: string; namespace?: string }, object: T) {
      const typed = object as KubernetesObject;
      const name = typed.metadata?.name ?? `${typed.metadata?.generateName ?? ""}${revision}`;
      const metadata = { ...typed.metadata, name, ...(ref.namespace && { namespace: ref.namespace }) };
      if (stored.has(keyFor(ref, ref.namespace, name))) {
        throw new StatusError({
          status: "Failure",
          code: 409,
          reason: "AlreadyExists",
          message: `${name} already exists`,
        });
      }
      return put(ref, { ...typed, metadata }) as T;
    },
    async update<T>(ref: { group?: string; resource: string; namespace?: string; name: string }, object: T) {
      const { metadata } = object as KubernetesObject;
      const current = read(ref);
      if (metadata?.resourceVersion && metadata.resourceVersion !== current.metadata?.resourceVersion) {
        throw new StatusError({ status: "Failure", code: 409, reason: "Conflict", message: "modified" });
      }
      return put(ref, object as KubernetesObject) as T;
    },
    async delete(ref) {
      read(ref);
      this.remove(ref);
    },
    async bind({ namespace, name }, node) {
      const pod = read({ resource: "pods", namespace, name }) as KubernetesObject & {
        spec?: object;
        status?: { conditions?: { type: string }[] };
      };
      const scheduled = { type: "PodScheduled", status: "True", lastTransitionTime: new Date().toISOString() };
      const others = (pod.status?.conditions ?? []).filter(({ type }) => type !== "PodScheduled");
      const bound = {
        ...pod,
        spec: { ...pod.spec, nodeName: node },
        status: { ...pod.status, conditions: [...others, scheduled] },
      };
      put({ resource: "pods" }, bound as KubernetesObject);
    },
  };
}

function keyFor(
  { group = "", resource }: { group?: string; resource: string },
  namespace: string | undefined,
  name: string,
) {
  return `${group}/${resource}/${namespace ?? ""}/${name}`;
}

function prefixFor({ group = "", resource, namespace }: ListOptions): string {
  return namespace === undefined ? `${group}/${resource}/` : `${group}/${resource}/${namespace}/`;
}

function wants({ prefix, options }: Listener, key: string, event: WatchEvent): boolean {
  return key.startsWith(prefix) && event.type !== "ERROR" && selected(options, event.object);
}

function selected({ fieldSelector, labelSelector }: ListOptions, object: KubernetesObject): boolean {
  if (labelSelector) throw new Error("memoryObjects knows no label selectors");
  if (!fieldSelector) return true;
  return matchesFields(parseFieldSelector(fieldSelector), fieldsOf(object));
}

function fieldsOf(object: KubernetesObject): Record<string, string> {
  const { spec } = object as { spec?: { nodeName?: string } };
  return {
    "metadata.name": object.metadata?.name ?? "",
    "metadata.namespace": object.metadata?.namespace ?? "",
    "spec.nodeName": spec?.nodeName ?? "",
  };
}
