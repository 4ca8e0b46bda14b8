import { conflict, type KubernetesObject, type Pod, rfc3339, type WatchEvent } from "@hawser/api";
import { statusOf } from "../http/respond.ts";
import type { ListOptions, ObjectRef, Objects } from "../request.ts";
import { pods } from "./core/pod/pod.ts";
import { deleteObject } from "./delete.ts";
import type { ResourceKind, Subresource } from "./kind.ts";
import { findKind } from "./kinds.ts";
import { listObjects } from "./list.ts";
import { selectionOf } from "./select.ts";
import { createObject, getObject, type StoreDeps, updateObject } from "./store.ts";
import { watchObjects } from "./watch.ts";

/** The stored objects for the server's own parts. Throws RangeError for a resource the server does not have. */
export function createObjects(deps: StoreDeps): Objects {
  return {
    get: async <T extends KubernetesObject>(ref: ObjectRef) =>
      (await getObject(deps, kindOf(ref), { namespace: ref.namespace ?? "", name: ref.name })) as T,

    async list<T extends KubernetesObject>(options: ListOptions) {
      const kind = kindOf(options);
      const selection = selectionOf(kind, options);
      const { items, revision } = await listObjects(deps, kind, { namespace: options.namespace ?? "", selection });
      return { items: items as T[], resourceVersion: String(revision) };
    },

    async *watch<T extends KubernetesObject>(
      options: ListOptions & { resourceVersion: string; signal: AbortSignal },
    ): AsyncIterable<WatchEvent<T>> {
      const kind = kindOf(options);
      const { namespace = "", resourceVersion, signal } = options;
      const selection = selectionOf(kind, options);
      try {
        const batches = watchObjects(deps, kind, { namespace, selection, after: Number(resourceVersion), signal });
        for await (const batch of batches) yield* batch as WatchEvent<T>[];
      } catch (error) {
        yield { type: "ERROR", object: statusOf(error) };
      }
    },

    create: async <T extends KubernetesObject>(ref: Omit<ObjectRef, "name">, object: T) =>
      (await createObject(deps, kindOf(ref), structuredClone(object), { namespace: ref.namespace ?? "" })) as T,

    async update<T extends KubernetesObject>(ref: ObjectRef & { subresource?: string }, object: T) {
      const id = { namespace: ref.namespace ?? "", name: ref.name };
      const subresource = (ref.subresource ?? "") as Subresource;
      return (await updateObject(deps, kindOf(ref), id, () => structuredClone(object), { subresource })) as T;
    },

    async delete({ uid, gracePeriodSeconds, ...ref }) {
      const id = { namespace: ref.namespace ?? "", name: ref.name };
      await deleteObject(deps, kindOf(ref), id, {
        ...(gracePeriodSeconds !== undefined && { gracePeriodSeconds }),
        ...(uid && { preconditions: { uid } }),
      });
    },

    bind: (pod, node) => bindPod(deps, pod, node),
  };
}

function kindOf(ref: { group?: string; resource: string }): ResourceKind {
  const kind = findKind(ref);
  if (!kind) throw new RangeError(`no such resource: ${ref.group ? `${ref.resource}.${ref.group}` : ref.resource}`);
  return kind;
}

export interface Binding {
  namespace: string;
  name: string;
  uid?: string;
  annotations?: Record<string, string>;
  dryRun?: boolean;
}

/**
 * Gives a pod its node. Throws StatusError NotFound, or Conflict when it has one or is going.
 *
 * Source: kubernetes/kubernetes pkg/registry/core/pod/storage/storage.go setPodNodeAndMetadata
 */
export async function bindPod(deps: StoreDeps, { dryRun = false, ...binding }: Binding, node: string): Promise<void> {
  const { name, uid } = binding;
  const change = (current: KubernetesObject) => {
    const { spec, metadata, status } = current as Pod;
    const refuse = (why: string) => conflict({ resource: "pods/binding" }, name, why);
    if (uid && uid !== metadata?.uid) {
      throw conflict(
        pods,
        name,
        `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${metadata?.uid}`,
      );
    }
    if (metadata?.deletionTimestamp) throw refuse(`pod ${name} is being deleted, cannot be assigned to a host`);
    if (spec?.nodeName) throw refuse(`pod ${name} is already assigned to node ${JSON.stringify(spec.nodeName)}`);
    if ((spec?.schedulingGates ?? []).length > 0) throw refuse(`pod ${name} has non-empty .spec.schedulingGates`);
    const scheduled = {
      type: "PodScheduled",
      status: "True",
      lastProbeTime: null,
      lastTransitionTime: rfc3339(deps.now()),
    };
    const others = (status?.conditions ?? []).filter(({ type }) => type !== "PodScheduled");
    return {
      ...current,
      metadata: { ...metadata, annotations: { ...metadata?.annotations, ...binding.annotations } },
      spec: { ...spec, nodeName: node },
      status: { ...status, conditions: [...others, scheduled] },
    } as KubernetesObject;
  };
  await updateObject(deps, pods, binding, change, { subresource: "binding", dryRun });
}
