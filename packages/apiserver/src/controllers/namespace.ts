import { setTimeout as delay } from "node:timers/promises";
import { type KubernetesObject, type Namespace, StatusError } from "@hawser/api";
import type { Logger } from "@hawser/trace";
import { ensureServiceAccount } from "../registry/bootstrap.ts";
import { namespaces } from "../registry/core/namespace.ts";
import { deleteObject } from "../registry/delete.ts";
import type { ResourceKind } from "../registry/kind.ts";
import { kinds } from "../registry/kinds.ts";
import { listObjects } from "../registry/list.ts";
import { selectionOf } from "../registry/select.ts";
import { type StoreDeps, updateObject } from "../registry/store.ts";
import { watchObjects } from "../registry/watch.ts";

/** After an unexpected error, namespaces are looked at again this much later. Milliseconds. */
const retryDelay = 1000;

/** What a namespace can hold. */
const contents = kinds.filter(({ namespaced, view }) => namespaced && !view);

export interface NamespaceControllerOptions {
  store: StoreDeps;
  log: Logger;
  /** Milliseconds. */
  retryAfter?: number;
}

/**
 * Gives new namespaces their `default` service account, and empties those that are being deleted: once nothing is left
 * in one, its finalizer goes and so does it.
 *
 * Source: kubernetes/kubernetes pkg/controller/namespace/deletion/namespaced_resources_deleter.go
 */
export function startNamespaceController(options: NamespaceControllerOptions): AsyncDisposable {
  const stop = new AbortController();
  const running = run(options, stop.signal);
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      await running;
    },
  };
}

async function run(
  { store, log, retryAfter = retryDelay }: NamespaceControllerOptions,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    try {
      await follow(store, signal);
    } catch (error) {
      if (signal.aborted) return;
      log.error("namespaces are looked at again", { error });
      await delay(retryAfter, undefined, { signal }).catch(() => {}); // only an abort ends it early
    }
  }
}

/** Runs until aborted. When one watch fails the others end with it: the next round opens them all anew. */
async function follow(store: StoreDeps, outer: AbortSignal): Promise<void> {
  const round = new AbortController();
  const signal = AbortSignal.any([outer, round.signal]);
  const all = { namespace: "", selection: selectionOf(namespaces, {}) };
  const { items, revision } = await listObjects(store, namespaces, all);
  for (const item of items) await settle(store, item);
  const watches = [namespaces, ...contents].map(async (kind) => {
    const selection = selectionOf(kind, {});
    for await (const batch of watchObjects(store, kind, { namespace: "", selection, after: revision, signal })) {
      for (const { type, object } of batch) {
        if (kind === namespaces && type !== "DELETED") await settle(store, object as KubernetesObject);
        // Whatever goes may be the last thing in its namespace.
        if (kind !== namespaces && type === "DELETED")
          await settleNamed(store, (object as KubernetesObject).metadata?.namespace ?? "");
      }
    }
  });
  try {
    await Promise.all(watches);
  } finally {
    round.abort();
    await Promise.allSettled(watches);
  }
}

async function settleNamed(store: StoreDeps, name: string): Promise<void> {
  const { items } = await listObjects(store, namespaces, {
    namespace: "",
    selection: selectionOf(namespaces, { fieldSelector: `metadata.name=${name}` }),
  });
  const [namespace] = items;
  if (namespace?.metadata?.deletionTimestamp) await settle(store, namespace);
}

async function settle(store: StoreDeps, object: KubernetesObject): Promise<void> {
  const name = object.metadata?.name ?? "";
  if (!object.metadata?.deletionTimestamp) {
    if ((object as Namespace).status?.phase === "Active") await unlessGone(ensureServiceAccount(store, name));
    return;
  }
  let left = 0;
  for (const kind of contents) left += await empty(store, kind, name);
  if (left > 0) return;
  const release = (current: KubernetesObject) => ({ ...current, spec: { finalizers: [] } }) as KubernetesObject;
  await unlessGone(updateObject(store, namespaces, { namespace: "", name }, release, { subresource: "finalize" }));
}

/** Deletes what a namespace has of a kind. Resolves with how many are not gone yet. */
async function empty(store: StoreDeps, kind: ResourceKind, namespace: string): Promise<number> {
  const { items } = await listObjects(store, kind, { namespace, selection: selectionOf(kind, {}) });
  let left = 0;
  for (const { metadata } of items) {
    const deleted = await unlessGone(deleteObject(store, kind, { namespace, name: metadata?.name ?? "" }));
    if (deleted && !deleted.gone) left++;
  }
  return left;
}

async function unlessGone<T>(promise: Promise<T>): Promise<T | undefined> {
  try {
    return await promise;
  } catch (error) {
    if (error instanceof StatusError && (error.code === 404 || error.code === 409)) return undefined;
    throw error;
  }
}
