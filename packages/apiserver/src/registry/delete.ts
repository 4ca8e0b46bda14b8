import { conflict, type KubernetesObject, notFound, rfc3339 } from "@hawser/api";
import { objectKey, type ResourceKind } from "./kind.ts";
import { encode } from "./object-cache.ts";
import { isFinished, type ObjectId, overtaken, type StoreDeps } from "./store.ts";

/** The body of a DELETE. */
export interface DeleteOptions {
  gracePeriodSeconds?: number;
  preconditions?: { uid?: string; resourceVersion?: string };
  dryRun?: boolean;
}

export interface Deleted {
  object: KubernetesObject;
  /** Gone; else it has been told to end, and goes when nothing holds it any more. */
  gone: boolean;
}

/**
 * Deletes an object, or begins to: one with finalizers or a grace period gets a deletionTimestamp first.
 * Throws StatusError NotFound or Conflict.
 *
 * Source: kubernetes/apiserver pkg/registry/rest/delete.go, pkg/registry/generic/registry/store.go
 */
export async function deleteObject(
  deps: StoreDeps,
  kind: ResourceKind,
  { namespace, name }: ObjectId,
  options: DeleteOptions = {},
): Promise<Deleted> {
  const { storage, cache } = deps;
  const key = objectKey(kind, namespace, name);
  for (;;) {
    const stored = await storage.get(key);
    if (!stored) throw notFound(kind, name);
    const current = cache.decode(stored);
    checkPreconditions(kind, current, options);
    const next = marked(deps.now(), kind, current, options.gracePeriodSeconds);
    if (!isFinished(kind, next)) {
      if (options.dryRun || next === current) return { object: next, gone: false };
      const value = encode(next);
      const revision = await storage.put(key, value, { expect: stored.revision });
      if (revision !== undefined) return { object: cache.decode({ value, revision }), gone: false };
    } else {
      if (options.dryRun) return { object: current, gone: true };
      const revision = await storage.delete(key, { expect: stored.revision });
      if (revision !== undefined) return { object: atRevision(next, revision), gone: true };
    }
    // Overtaken by another write: that is a conflict only for those who named a version.
    if (options.preconditions?.resourceVersion) throw overtaken(kind, name);
  }
}

function checkPreconditions(kind: ResourceKind, { metadata = {} }: KubernetesObject, options: DeleteOptions): void {
  const { uid, resourceVersion } = options.preconditions ?? {};
  const { name = "" } = metadata;
  // The real server names the kind here, not the resource.
  const named = { group: kind.group, resource: kind.kind };
  if (uid !== undefined && uid !== metadata.uid) {
    const why = `the UID in the precondition (${uid}) does not match the UID in record (${metadata.uid}). The object might have been deleted and then recreated`;
    throw conflict(named, name, why);
  }
  if (resourceVersion !== undefined && resourceVersion !== metadata.resourceVersion) {
    const why = `the ResourceVersion in the precondition (${resourceVersion}) does not match the ResourceVersion in record (${metadata.resourceVersion}). The object might have been modified`;
    throw conflict(named, name, why);
  }
}

/** The object as this request for its deletion leaves it; the same one when nothing changes. */
function marked(now: Date, kind: ResourceKind, current: KubernetesObject, asked: number | undefined): KubernetesObject {
  const { metadata = {} } = current;
  const wanted = asked !== undefined && asked < 0 ? 1 : asked;
  if (metadata.deletionTimestamp === undefined) {
    const grace = kind.deletion?.gracePeriod?.(current, wanted) ?? 0;
    return withDeletion(kind, current, new Date(now.getTime() + grace * 1000), grace);
  }
  const pending = metadata.deletionGracePeriodSeconds ?? 0;
  // Once begun, a deletion can only be hastened.
  if (pending === 0 || wanted === undefined || wanted >= pending) return current;
  const due = Date.parse(String(metadata.deletionTimestamp)) + (wanted - pending) * 1000;
  if (due >= now.getTime()) return withDeletion(kind, current, new Date(due), wanted);
  return withDeletion(kind, current, now, wanted === 0 ? 0 : 1);
}

function withDeletion(kind: ResourceKind, current: KubernetesObject, at: Date, grace: number): KubernetesObject {
  const next = structuredClone(current);
  next.metadata = {
    ...next.metadata,
    deletionGracePeriodSeconds: grace,
    deletionTimestamp: rfc3339(at) as unknown as NonNullable<typeof next.metadata>["deletionTimestamp"] & {},
  };
  kind.deletion?.begin?.(next);
  return next;
}

function atRevision(object: KubernetesObject, revision: number): KubernetesObject {
  return { ...object, metadata: { ...object.metadata, resourceVersion: String(revision) } };
}
