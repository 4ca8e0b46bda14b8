/** One key as it stood at a revision. */
export interface Stored {
  key: string;
  value: string;
  /** The revision that made the key. */
  createRevision: number;
  /** The revision that last wrote it. */
  revision: number;
}

/** One write, as a watch tells it. */
export interface StorageEvent {
  key: string;
  revision: number;
  /** What was written; missing for a deletion. */
  value?: string;
  /** What stood there before; missing for a creation. */
  previous?: string;
  createRevision: number;
}

export interface ListRange {
  /** All keys that start so. */
  prefix: string;
  /** Only keys greater than or equal to this one. */
  from?: string;
  limit?: number;
  /** As it stood then; missing or 0 for now. */
  revision?: number;
}

export interface ListResult {
  items: Stored[];
  /** The revision the answer holds for. */
  revision: number;
  /** How many more keys the range has behind the limit. */
  remaining: number;
}

/** Batches of events in order. Ends when its signal is aborted. Throws CompactedError when it has fallen too far behind. */
export interface StorageWatch extends AsyncIterable<StorageEvent[]> {
  /** Everything up to this revision has been handed out. */
  readonly revision: number;
}

/**
 * Keys and values under one revision that grows by one with each write: etcd's model, as much of it as an API server needs.
 * A write is on disk before it resolves. Keys are `/registry/<resource>/<namespace>/<name>`, values JSON.
 */
export interface Storage extends AsyncDisposable {
  /** The newest revision. */
  revision(): Promise<number>;
  get(key: string): Promise<Stored | undefined>;
  /** In the order of the keys. Throws CompactedError for a revision that is gone, FutureRevisionError for one to come. */
  list(range: ListRange): Promise<ListResult>;
  /**
   * Writes when the key's revision is `expect` (0: there is no such key). Resolves with the new revision, undefined when it was not.
   * After `ttlSeconds` without another write, the key is deleted.
   */
  put(key: string, value: string, options: { expect: number; ttlSeconds?: number }): Promise<number | undefined>;
  /** Deletes when the key's revision is `expect`. Resolves with the new revision, undefined when it was not. */
  delete(key: string, options: { expect: number }): Promise<number | undefined>;
  /** Every write after the revision `after` whose key starts with `prefix`. Throws CompactedError. */
  watch(prefix: string, options: { after: number; signal: AbortSignal }): StorageWatch;
  /** Forgets what was superseded up to and including this revision. */
  compact(revision: number): Promise<void>;
}

export class CompactedError extends Error {
  override readonly name = "CompactedError";
  readonly revision: number;
  readonly compacted: number;

  constructor(revision: number, compacted: number) {
    super(`revision ${revision} has been compacted: the oldest is ${compacted}`);
    this.revision = revision;
    this.compacted = compacted;
  }
}

export class FutureRevisionError extends Error {
  override readonly name = "FutureRevisionError";
  readonly revision: number;
  readonly current: number;

  constructor(revision: number, current: number) {
    super(`revision ${revision} is in the future: the newest is ${current}`);
    this.revision = revision;
    this.current = current;
  }
}

/** The end of the range of keys that start with `prefix`. */
export function prefixEnd(prefix: string): string {
  return prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1);
}
