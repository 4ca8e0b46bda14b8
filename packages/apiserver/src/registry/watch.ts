import { expired, type WatchEvent } from "@hawser/api";
import { CompactedError, type StorageEvent } from "../storage/storage.ts";
import { keyPrefix, type ResourceKind } from "./kind.ts";
import type { ObjectCache } from "./object-cache.ts";
import type { Selection } from "./select.ts";
import type { StoreDeps } from "./store.ts";

export interface WatchQuery {
  namespace: string;
  selection: Selection;
  /** Events after this one. */
  after: number;
  signal: AbortSignal;
}

export interface ObjectWatch extends AsyncIterable<WatchEvent[]> {
  /** Everything up to this revision has been handed out. */
  readonly revision: number;
}

/** What happens to the selected objects. Throws StatusError 410, at once or later, when it is too far behind. */
export function watchObjects({ storage, cache }: StoreDeps, kind: ResourceKind, query: WatchQuery): ObjectWatch {
  const { namespace, selection, after, signal } = query;
  const prefix = keyPrefix(kind, kind.namespaced ? namespace : "");
  const tooOld = (error: unknown) =>
    error instanceof CompactedError
      ? expired(`too old resource version: ${error.revision} (${error.compacted})`)
      : error;
  try {
    const events = storage.watch(prefix, { after, signal });
    return {
      get revision() {
        return events.revision;
      },
      async *[Symbol.asyncIterator]() {
        try {
          for await (const batch of events) {
            const seen = batch.flatMap((event) => seenBy(cache, selection, event) ?? []);
            if (seen.length > 0) yield seen;
          }
        } catch (error) {
          throw tooOld(error);
        }
      },
    };
  } catch (error) {
    throw tooOld(error);
  }
}

/** How one who sees only the selected objects sees an event: an object that comes into view was added, one that leaves it deleted. */
function seenBy(cache: ObjectCache, selection: Selection, event: StorageEvent): WatchEvent | undefined {
  const { current, previous } = cache.decodeEvent(event);
  const now = current !== undefined && selection.matches(current);
  const before = previous !== undefined && selection.matches(previous);
  if (now) return { type: before ? "MODIFIED" : "ADDED", object: current };
  return before ? { type: "DELETED", object: previous } : undefined;
}
