import { isDeepStrictEqual } from "node:util";
import { alreadyExists, conflict, invalid, type KubernetesObject, notFound } from "@hawser/api";
import type { Storage } from "../storage/storage.ts";
import { apiVersionOf, groupKind, objectKey, type ResourceKind, type Subresource, type UpdateHooks } from "./kind.ts";
import { carryMetadata, prepareMetadata, validateMetadata, validateMetadataUpdate } from "./metadata.ts";
import { encode, type ObjectCache } from "./object-cache.ts";

/** What the generic store needs. */
export interface StoreDeps {
  storage: Storage;
  cache: ObjectCache;
  now: () => Date;
  newUID: () => string;
}

export interface ObjectId {
  namespace: string;
  name: string;
}

/** An update is tried again this often when others write the same object meanwhile and the client named no version. */
const maxAttempts = 50;

/** Throws StatusError NotFound. */
export async function getObject(
  { storage, cache }: StoreDeps,
  kind: ResourceKind,
  id: ObjectId,
): Promise<KubernetesObject> {
  const stored = await storage.get(objectKey(kind, id.namespace, id.name));
  if (!stored) throw notFound(kind, id.name);
  return cache.decode(stored);
}

export interface CreateOptions {
  namespace: string;
  dryRun?: boolean;
}

/** `object` becomes the store's own. Throws StatusError Invalid or AlreadyExists. */
export async function createObject(
  deps: StoreDeps,
  kind: ResourceKind,
  object: KubernetesObject,
  { namespace, dryRun = false }: CreateOptions,
): Promise<KubernetesObject> {
  object.apiVersion = apiVersionOf(kind);
  object.kind = kind.kind;
  const metadata = prepareMetadata(kind, object, namespace, { now: deps.now(), uid: deps.newUID() });
  kind.prepare?.(object);
  const { name = "" } = metadata;
  const errors = [...validateMetadata(kind, metadata), ...(kind.validate?.(object) ?? [])];
  if (errors.length > 0) throw invalid(groupKind(kind), name, errors);
  const key = objectKey(kind, namespace, name);
  if (dryRun) {
    if (await deps.storage.get(key)) throw alreadyExists(kind, name);
    return object;
  }
  const value = encode(object);
  const revision = await deps.storage.put(key, value, { expect: 0, ...ttlOf(kind) });
  if (revision === undefined) throw alreadyExists(kind, name);
  return deps.cache.decode({ value, revision });
}

export interface UpdateOptions {
  subresource?: Subresource;
  dryRun?: boolean;
}

/**
 * Writes what `change` makes of the current object; tries again when it was overtaken and the change names no resourceVersion.
 * `change` returns a draft of its own. Throws StatusError NotFound, Conflict or Invalid.
 *
 * Source: kubernetes/apiserver pkg/registry/generic/registry/store.go Update
 */
export async function updateObject(
  deps: StoreDeps,
  kind: ResourceKind,
  id: ObjectId,
  change: (current: KubernetesObject) => KubernetesObject | Promise<KubernetesObject>,
  { subresource = "", dryRun = false }: UpdateOptions = {},
): Promise<KubernetesObject> {
  const key = objectKey(kind, id.namespace, id.name);
  for (let attempt = 0; attempt < maxAttempts; attempt++) {
    const stored = await deps.storage.get(key);
    if (!stored) throw notFound(kind, id.name);
    const current = deps.cache.decode(stored);
    const next = await change(current);
    const asked = next.metadata?.resourceVersion;
    if (asked && asked !== current.metadata?.resourceVersion) throw overtaken(kind, id.name);
    const uid = next.metadata?.uid;
    if (uid && uid !== current.metadata?.uid) {
      throw conflict(
        kind,
        id.name,
        `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${current.metadata?.uid ?? ""}`,
      );
    }
    prepareUpdate(kind, next, current, subresource);
    const value = encode(next);
    if (dryRun) return next;
    if (isSame(value, stored.value)) return current;
    if (isFinished(kind, next)) {
      if ((await deps.storage.delete(key, { expect: stored.revision })) !== undefined) return next;
    } else {
      const revision = await deps.storage.put(key, value, { expect: stored.revision, ...ttlOf(kind) });
      if (revision !== undefined) return deps.cache.decode({ value, revision });
    }
    if (asked) throw overtaken(kind, id.name);
  }
  throw overtaken(kind, id.name);
}

/** The same members, in whatever order: such a write would tell watchers of a change that is none. */
function isSame(value: string, other: string): boolean {
  return value === other || (value.length === other.length && isDeepStrictEqual(JSON.parse(value), JSON.parse(other)));
}

/** Marked for deletion, and nothing holds it any more: the write that says so deletes it. */
export function isFinished(kind: ResourceKind, object: KubernetesObject): boolean {
  const { metadata } = object;
  return (
    metadata?.deletionTimestamp !== undefined &&
    (metadata.finalizers ?? []).length === 0 &&
    (metadata.deletionGracePeriodSeconds ?? 0) === 0 &&
    !kind.deletion?.held?.(object)
  );
}

function prepareUpdate(
  kind: ResourceKind,
  next: KubernetesObject,
  current: KubernetesObject,
  subresource: Subresource,
): void {
  next.apiVersion = apiVersionOf(kind);
  next.kind = kind.kind;
  carryMetadata(next, current);
  const hooks = hooksOf(kind, subresource);
  const members = next as Record<string, unknown>;
  const before = current as Record<string, unknown>;
  if (subresource === "status") {
    for (const field of Object.keys(members)) {
      if (!["apiVersion", "kind", "metadata", "status"].includes(field)) delete members[field];
    }
    for (const [field, value] of Object.entries(before)) {
      if (field !== "status" && field !== "metadata") members[field] = value;
    }
  } else if (subresource === "" && kind.subresources?.status) {
    members.status = before.status;
  }
  hooks?.prepare?.(next, current);
  const errors = [
    ...validateMetadataUpdate(next.metadata ?? {}, current.metadata ?? {}),
    ...(subresource === "" ? (kind.validate?.(next) ?? []) : []),
    ...(hooks?.validate?.(next, current) ?? []),
  ];
  if (errors.length > 0) throw invalid(groupKind(kind), current.metadata?.name ?? "", errors);
}

function hooksOf(kind: ResourceKind, subresource: Subresource): UpdateHooks<KubernetesObject> | undefined {
  if (subresource === "") return kind.update;
  return subresource === "binding" ? undefined : kind.subresources?.[subresource];
}

function ttlOf({ ttlSeconds }: ResourceKind): { ttlSeconds?: number } {
  return ttlSeconds ? { ttlSeconds } : {};
}

export function overtaken(kind: ResourceKind, name: string) {
  return conflict(
    kind,
    name,
    "the object has been modified; please apply your changes to the latest version and try again",
  );
}
