import { setTimeout as delay } from "node:timers/promises";
import { type KubernetesObject, StatusError } from "@hawser/api";
import type { KubeClient } from "./client.ts";
import type { ResourceRef } from "./ref.ts";

/** First pause after a failure and the longest one, milliseconds; each is halved or less by chance. */
const backOff = { first: 100, longest: 30_000 };
/** Objects asked for at once while listing. */
const pageSize = 500;
/** Seconds after which the server is asked to end a watch; stretched by up to as much again. */
const watchSeconds = 300;

export interface InformerOptions<T extends KubernetesObject> {
  selectors?: { labelSelector?: string; fieldSelector?: string };
  onAdd?: (object: T) => void;
  onUpdate?: (object: T, before: T) => void;
  /** With the last state that was seen. */
  onDelete?: (object: T) => void;
  /** A list or watch failed and will be tried again, or a callback threw. */
  onError?: (error: unknown) => void;
  signal?: AbortSignal;
  /** Waits before the next try; for tests. */
  pause?: (milliseconds: number, signal: AbortSignal) => Promise<unknown>;
}

/** A local copy of a collection, kept up to date. */
export interface Informer<T extends KubernetesObject> extends AsyncDisposable {
  /** By `namespace/name`, or by name where there is no namespace. */
  readonly items: ReadonlyMap<string, T>;
  /** Resolves when the first list is in `items` and was told; rejects when the informer is stopped before that. */
  readonly synced: Promise<void>;
  /** Resolves when it has stopped. */
  readonly stopped: Promise<void>;
  /** The resourceVersion `items` stands at. */
  readonly resourceVersion: string;
}

/**
 * Lists, then watches, and goes on until `signal` is aborted or it is disposed. A failure is told to `onError` and
 * tried again after a pause that grows; a version too old (410) begins again with a list, after which what differs is told.
 * Callbacks are called in the server's order, one at a time.
 *
 * Source: kubernetes/client-go tools/cache/reflector.go, for what is retried how
 */
export function informer<T extends KubernetesObject>(
  client: Pick<KubeClient, "list" | "watch">,
  ref: ResourceRef,
  options: InformerOptions<T> = {},
): Informer<T> {
  const { selectors = {}, pause = wait } = options;
  const stop = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal;
  const items = new Map<string, T>();
  const synced = Promise.withResolvers<void>();
  synced.promise.catch(() => {}); // a caller may never ask
  let version = "";
  let failures = 0;

  function tell(callback: () => void): void {
    try {
      callback();
    } catch (error) {
      options.onError?.(error);
    }
  }

  function put(object: T): void {
    const key = keyOf(object);
    const before = items.get(key);
    items.set(key, object);
    if (!before) tell(() => options.onAdd?.(object));
    else if (before.metadata?.resourceVersion !== object.metadata?.resourceVersion) {
      tell(() => options.onUpdate?.(object, before));
    }
  }

  function drop(key: string, last: T | undefined): void {
    const known = items.get(key);
    if (!known) return;
    items.delete(key);
    tell(() => options.onDelete?.(last ?? known));
  }

  async function list(): Promise<void> {
    const seen = new Set<string>();
    let next: string | undefined;
    let listVersion = "";
    do {
      const page = await client.list<T>(ref, { ...selectors, limit: pageSize, continue: next, signal });
      for (const object of page.items) {
        seen.add(keyOf(object));
        put(object);
      }
      listVersion = page.metadata.resourceVersion ?? "";
      next = page.metadata.continue || undefined;
    } while (next);
    for (const key of [...items.keys()]) if (!seen.has(key)) drop(key, undefined);
    version = listVersion;
    synced.resolve();
  }

  /** Returns when the server ended the watch; true when anything came. */
  async function watch(): Promise<boolean> {
    const timeoutSeconds = Math.floor(watchSeconds * (1 + Math.random()));
    const events = client.watch<T>(ref, {
      ...selectors,
      resourceVersion: version,
      allowWatchBookmarks: true,
      timeoutSeconds,
      signal,
    });
    let any = false;
    for await (const event of events) {
      if (event.type === "ERROR") throw new StatusError(event.object);
      any = true;
      failures = 0;
      if (event.type === "DELETED") drop(keyOf(event.object), event.object);
      else if (event.type !== "BOOKMARK") put(event.object);
      version = event.object.metadata?.resourceVersion ?? version;
    }
    return any;
  }

  async function round(): Promise<void> {
    try {
      if (!version) await list();
      const started = performance.now();
      const any = await watch();
      // A server that ends watches at once must not be asked in a tight loop.
      if (any || performance.now() - started > 1000) failures = 0;
      else await pause(nextPause(failures++), signal);
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof StatusError && (error.code === 410 || error.reason === "Expired")) {
        version = "";
        if (failures++ === 0) return;
      } else {
        options.onError?.(error);
        failures++;
      }
      await pause(nextPause(failures - 1), signal).catch(() => {}); // only an abort ends it early
    }
  }

  async function run(): Promise<void> {
    while (!signal.aborted) await round();
    synced.reject(signal.reason);
  }

  const stopped = run();
  return {
    items,
    synced: synced.promise,
    stopped,
    get resourceVersion() {
      return version;
    },
    async [Symbol.asyncDispose]() {
      stop.abort(new DOMException("the informer was stopped", "AbortError"));
      await stopped;
    },
  };
}

function keyOf({ metadata }: KubernetesObject): string {
  return metadata?.namespace ? `${metadata.namespace}/${metadata.name}` : (metadata?.name ?? "");
}

function nextPause(failures: number): number {
  const most = Math.min(backOff.longest, backOff.first * 2 ** Math.min(failures, 20));
  return most * (0.5 + Math.random() / 2);
}

async function wait(milliseconds: number, signal: AbortSignal): Promise<void> {
  await delay(milliseconds, undefined, { signal });
}
