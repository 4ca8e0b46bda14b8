import { expired, failure, type KubernetesObject } from "@hawser/api";
import { CompactedError, FutureRevisionError, type Storage } from "../storage/storage.ts";
import { keyPrefix, objectKey, type ResourceKind } from "./kind.ts";
import type { Selection } from "./select.ts";
import type { StoreDeps } from "./store.ts";

/** A list of a version to come waits no longer for it; milliseconds. Source: kubernetes/apiserver watch cache blockTimeout */
const futureWait = 3000;

export interface ListQuery {
  namespace: string;
  selection: Selection;
  limit?: number;
  /** The key to go on from. */
  from?: string;
  /** As it stood then. */
  exact?: number;
  /** No older than this. */
  notOlderThan?: number;
  signal?: AbortSignal;
}

export interface ListPage {
  items: KubernetesObject[];
  revision: number;
  /** The key the next page starts at. */
  next?: string;
  /** Unknown with a selector. */
  remaining?: number;
}

/** Throws StatusError 410 for a version that is gone, 504 for one that does not come. */
export async function listObjects(deps: StoreDeps, kind: ResourceKind, query: ListQuery): Promise<ListPage> {
  const { storage, cache } = deps;
  const { namespace, selection, limit = 0, exact = 0, notOlderThan = 0 } = query;
  await untilRevision(storage, Math.max(exact, notOlderThan), query.signal);
  const prefix = keyPrefix(kind, kind.namespaced ? namespace : "");
  const items: KubernetesObject[] = [];
  let from = query.from;
  let revision = exact;
  for (;;) {
    const page = await storage
      .list({ prefix, limit, revision, ...(from !== undefined && { from }) })
      .catch((error: unknown) => Promise.reject(listError(error)));
    revision = page.revision;
    items.push(...page.items.map((stored) => cache.decode(stored)).filter((object) => selection.matches(object)));
    const last = items[limit - 1];
    if (limit > 0 && last && items.length > limit)
      return { items: items.slice(0, limit), revision, next: keyAfter(kind, last) };
    if (limit === 0 || page.remaining === 0) return { items, revision };
    from = `${page.items.at(-1)?.key ?? ""}\0`;
    if (items.length === limit) {
      return { items, revision, next: from, ...(selection.all && { remaining: page.remaining }) };
    }
  }
}

function keyAfter(kind: ResourceKind, { metadata }: KubernetesObject): string {
  return `${objectKey(kind, metadata?.namespace ?? "", metadata?.name ?? "")}\0`;
}

function listError(error: unknown): unknown {
  if (error instanceof CompactedError) {
    return expired(`The resourceVersion for the provided list is too old.`);
  }
  return error instanceof FutureRevisionError ? tooLarge(error.revision, error.current) : error;
}

async function untilRevision(storage: Storage, revision: number, signal = new AbortController().signal): Promise<void> {
  const current = await storage.revision();
  if (revision <= current) return;
  const stop = AbortSignal.any([signal, AbortSignal.timeout(futureWait)]);
  for await (const _ of storage.watch("/registry/", { after: current, signal: stop })) {
    if ((await storage.revision()) >= revision) return;
  }
  throw tooLarge(revision, await storage.revision());
}

function tooLarge(asked: number, current: number) {
  return failure({
    code: 504,
    reason: "Timeout",
    message: `Timeout: Too large resource version: ${asked}, current: ${current}`,
    details: {
      causes: [{ reason: "ResourceVersionTooLarge", message: "Too large resource version" }],
      retryAfterSeconds: 1,
    },
  });
}
