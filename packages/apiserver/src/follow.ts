import { setTimeout as sleep } from "node:timers/promises";
import type { KubernetesObject, WatchEvent } from "@hawser/api";
import type { Logger } from "@hawser/trace";
import type { ListOptions, Objects } from "./request.ts";

/** Waits between two attempts after a failure. Milliseconds. */
const firstDelay = 50;
const longestDelay = 5_000;

export interface Change<T> {
  /** `set` is an object that is new or changed. */
  type: "set" | "delete";
  object: T;
  /** What was known before. */
  previous?: T;
}

export interface FollowOptions<T> {
  signal: AbortSignal;
  log: Logger;
  /** Called after `items` has the change, in order. Must not throw. */
  onChange?(change: Change<T>): void;
}

export interface Followed<T> {
  /** By `keyOf`: always the newest that was seen. */
  items: ReadonlyMap<string, T>;
  /** Resolves when the first list is in `items`; rejects when it fails or is aborted before. */
  synced: Promise<void>;
  /** Resolves when it has ended, after an abort. Never rejects. */
  ended: Promise<void>;
}

export function keyOf({ metadata }: KubernetesObject): string {
  return objectKey(metadata?.namespace, metadata?.name ?? "");
}

export function objectKey(namespace: string | undefined, name: string): string {
  return namespace ? `${namespace}/${name}` : name;
}

/**
 * Keeps a copy of a set of objects up to date: lists, watches from there, and lists again when the watch has ended.
 * For loops inside the server; programs outside have the client's informer.
 */
export function follow<T extends KubernetesObject>(
  objects: Pick<Objects, "list" | "watch">,
  what: ListOptions,
  options: FollowOptions<T>,
): Followed<T> {
  const items = new Map<string, T>();
  const { promise: synced, resolve, reject } = Promise.withResolvers<void>();
  synced.catch(() => {}); // whoever cares awaits it; nobody else must hear of it
  const ended = run(objects, what, { ...options, items, resolve, reject });
  return { items, synced, ended };
}

type Run<T> = FollowOptions<T> & { items: Map<string, T>; resolve(): void; reject(reason: unknown): void };

async function run<T extends KubernetesObject>(
  objects: Pick<Objects, "list" | "watch">,
  what: ListOptions,
  { signal, log, onChange = () => {}, items, resolve, reject }: Run<T>,
): Promise<void> {
  const set = (object: T) => {
    const key = keyOf(object);
    const previous = items.get(key);
    if (previous && previous.metadata?.resourceVersion === object.metadata?.resourceVersion) return;
    items.set(key, object);
    onChange({ type: "set", object, ...(previous && { previous }) });
  };
  const remove = (key: string, object: T) => {
    const previous = items.get(key);
    if (previous && items.delete(key)) onChange({ type: "delete", object, previous });
  };
  let delay = firstDelay;
  for (let first = true; !signal.aborted; first = false) {
    try {
      const { items: listed, resourceVersion } = await objects.list<T>(what);
      const keys = new Set(listed.map(keyOf));
      for (const [key, object] of [...items]) if (!keys.has(key)) remove(key, object);
      listed.forEach(set);
      resolve();
      for await (const event of objects.watch<T>({ ...what, resourceVersion, signal })) {
        delay = firstDelay;
        if (!apply(event, set, remove)) break;
      }
    } catch (error) {
      if (signal.aborted) break;
      if (first) reject(error);
      log.warn("watch failed, listing again", { resource: what.resource, error });
    }
    await pause(delay, signal);
    delay = Math.min(delay * 2, longestDelay);
  }
  reject(signal.reason);
}

/** False when the watch is over. */
function apply<T extends KubernetesObject>(
  event: WatchEvent<T>,
  set: (object: T) => void,
  remove: (key: string, object: T) => void,
): boolean {
  if (event.type === "ERROR") return false;
  if (event.type === "DELETED") remove(keyOf(event.object), event.object);
  else if (event.type !== "BOOKMARK") set(event.object);
  return true;
}

async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(milliseconds, undefined, { signal });
  } catch {
    // aborted: the caller's loop sees it
  }
}
