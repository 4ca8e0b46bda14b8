import { DatabaseSync, type StatementSync } from "node:sqlite";
import {
  CompactedError,
  FutureRevisionError,
  type ListRange,
  type ListResult,
  prefixEnd,
  type Storage,
  type StorageEvent,
  type StorageWatch,
  type Stored,
} from "./storage.ts";
import { WatchHub } from "./watch-hub.ts";

/** Events a watch reads from the log at once. */
const logPage = 500;
/** How often keys past their time are looked for, milliseconds. */
const sweepInterval = 30_000;
/** A revision is forgotten when it was superseded this long ago, milliseconds; kube-apiserver's default. */
const compactionInterval = 5 * 60_000;

// One row for each write. A key's state at a revision is its newest row up to there.
const schema = `
  CREATE TABLE IF NOT EXISTS log (
    revision INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    value TEXT,                         -- NULL: deleted
    create_revision INTEGER NOT NULL,
    previous_revision INTEGER NOT NULL, -- 0: there was none
    expires INTEGER                     -- milliseconds since 1970
  ) STRICT;
  CREATE UNIQUE INDEX IF NOT EXISTS log_key ON log (key, revision);
  CREATE INDEX IF NOT EXISTS log_expires ON log (expires) WHERE expires IS NOT NULL;
  CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
`;

export interface SQLiteOptions {
  /** A file, or `:memory:`. */
  path: string;
  now?: () => number;
}

/**
 * Storage in one SQLite file that no other process may open meanwhile.
 * Throws when another has it, or when it is no database.
 *
 * A write is one synced transaction (synchronous=FULL): about 0.1 ms in which nothing else runs.
 */
export function openSQLite({ path, now = Date.now }: SQLiteOptions): Storage {
  const db = new DatabaseSync(path);
  try {
    db.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;");
    db.exec(`BEGIN EXCLUSIVE; ${schema} COMMIT;`);
    return new SQLiteStorage(db, now);
  } catch (cause) {
    db.close();
    throw new Error(`open ${path}: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
}

interface Row {
  revision: number;
  key: string;
  value: string | null;
  create_revision: number;
  previous_revision: number;
}

class SQLiteStorage implements Storage {
  readonly #db: DatabaseSync;
  readonly #sql: Statements;
  readonly #hub: WatchHub;
  readonly #now: () => number;
  readonly #timers: NodeJS.Timeout[];
  readonly #closed = new AbortController();
  /** 1 for an empty store, as in etcd: 0 never names a revision. */
  #revision: number;
  #compacted: number;
  /** What the next compaction forgets. */
  #compactNext: number;

  constructor(db: DatabaseSync, now: () => number) {
    this.#db = db;
    this.#now = now;
    this.#sql = prepare(db);
    this.#compacted = numberOf(this.#sql.state.get("compacted")?.value) ?? 0;
    this.#revision = Math.max(numberOf(this.#sql.newest.get()?.revision) ?? 1, this.#compacted, 1);
    this.#compactNext = this.#revision;
    this.#hub = new WatchHub({
      read: (prefix, after) => this.#readLog(prefix, after),
      revision: () => this.#revision,
    });
    this.#timers = [
      setInterval(() => this.#sweep(), sweepInterval).unref(),
      setInterval(() => this.#compactOld(), compactionInterval).unref(),
    ];
  }

  async revision(): Promise<number> {
    return this.#revision;
  }

  async get(key: string): Promise<Stored | undefined> {
    return storedOf(this.#latest(key));
  }

  async list({ prefix, from = prefix, limit = 0, revision = 0 }: ListRange): Promise<ListResult> {
    if (revision > this.#revision) throw new FutureRevisionError(revision, this.#revision);
    if (revision > 0 && revision < this.#compacted) throw new CompactedError(revision, this.#compacted);
    const at = revision || this.#revision;
    const end = prefixEnd(prefix);
    const rows = this.#sql.list.all(from, end, at, limit > 0 ? limit : -1) as unknown as Row[];
    const items = rows.flatMap((row) => storedOf(row) ?? []);
    const last = items.at(-1);
    const full = limit > 0 && items.length === limit && last !== undefined;
    const remaining = full ? numberOf(this.#sql.count.get(`${last.key}\0`, end, at)?.count) : 0;
    return { items, revision: at, remaining: remaining ?? 0 };
  }

  async put(key: string, value: string, { expect, ttlSeconds }: { expect: number; ttlSeconds?: number }) {
    const expires = ttlSeconds ? this.#now() + ttlSeconds * 1000 : null;
    return this.#write(key, value, expect, expires);
  }

  async delete(key: string, { expect }: { expect: number }) {
    return expect === 0 ? undefined : this.#write(key, null, expect, null);
  }

  watch(prefix: string, { after, signal }: { after: number; signal: AbortSignal }): StorageWatch {
    if (after < this.#compacted) throw new CompactedError(after, this.#compacted);
    return this.#hub.watch(prefix, { after, signal: AbortSignal.any([signal, this.#closed.signal]) });
  }

  async compact(revision: number): Promise<void> {
    if (revision > this.#revision) throw new FutureRevisionError(revision, this.#revision);
    if (revision <= this.#compacted) return;
    this.#db.exec("BEGIN IMMEDIATE");
    try {
      this.#sql.compactSuperseded.run(revision, revision);
      this.#sql.compactDeleted.run(revision);
      this.#sql.setState.run("compacted", revision);
      this.#db.exec("COMMIT");
    } catch (cause) {
      this.#db.exec("ROLLBACK");
      throw cause;
    }
    this.#compacted = revision;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed.signal.aborted) return;
    this.#closed.abort();
    for (const timer of this.#timers) clearInterval(timer);
    this.#db.close();
  }

  #latest(key: string): Row | undefined {
    return this.#sql.latest.get(key) as Row | undefined;
  }

  /** One statement writes, and nobody else can: what was read before it still holds. */
  #write(key: string, value: string | null, expect: number, expires: number | null): number | undefined {
    const row = this.#latest(key);
    const current = storedOf(row);
    if ((current?.revision ?? 0) !== expect) return undefined;
    const revision = this.#revision + 1;
    const createRevision = current?.createRevision ?? revision;
    this.#sql.insert.run(revision, key, value, createRevision, current?.revision ?? 0, expires);
    this.#revision = revision;
    this.#hub.publish({
      key,
      revision,
      createRevision,
      ...(value !== null && { value }),
      ...(current && { previous: current.value }),
    });
    return revision;
  }

  #readLog(prefix: string, after: number): { events: StorageEvent[]; reached: number } {
    if (after < this.#compacted) throw new CompactedError(after, this.#compacted);
    const rows = this.#sql.log.all(after, prefix, prefixEnd(prefix), logPage) as unknown as Row[];
    const events = rows.map((row) => {
      const previous = row.previous_revision > 0 ? this.#sql.byRevision.get(row.previous_revision)?.value : undefined;
      return {
        key: row.key,
        revision: row.revision,
        createRevision: row.create_revision,
        ...(row.value !== null && { value: row.value }),
        ...(typeof previous === "string" && { previous }),
      };
    });
    const full = rows.length === logPage;
    return { events, reached: full ? (rows.at(-1)?.revision ?? after) : this.#revision };
  }

  #sweep(): void {
    try {
      const rows = this.#sql.expired.all(this.#now()) as unknown as Row[];
      for (const { key, revision } of rows) this.#write(key, null, revision, null);
    } catch {
      // The disk: a timer has nobody to tell, the next write has. What is left waits for the next sweep.
    }
  }

  #compactOld(): void {
    const revision = this.#compactNext;
    this.#compactNext = this.#revision;
    // Nothing here can fail but the disk; the next write then says so to somebody.
    this.compact(revision).catch(() => {});
  }
}

type Statements = Record<
  | "newest"
  | "latest"
  | "list"
  | "count"
  | "insert"
  | "log"
  | "byRevision"
  | "expired"
  | "compactSuperseded"
  | "compactDeleted"
  | "state"
  | "setState",
  StatementSync
>;

function prepare(db: DatabaseSync): Statements {
  const columns = "revision, key, value, create_revision, previous_revision";
  // With MAX(), the other columns are those of the row that has it (sqlite.org/lang_select.html, "bare columns").
  const newestOfEach = `SELECT MAX(revision) AS revision, key, value, create_revision, previous_revision
    FROM log WHERE key >= ? AND key < ? AND revision <= ? GROUP BY key HAVING value IS NOT NULL`;
  return {
    newest: db.prepare("SELECT MAX(revision) AS revision FROM log"),
    latest: db.prepare(`SELECT ${columns} FROM log WHERE key = ? ORDER BY revision DESC LIMIT 1`),
    list: db.prepare(`${newestOfEach} ORDER BY key LIMIT ?`),
    count: db.prepare(`SELECT COUNT(*) AS count FROM (${newestOfEach})`),
    insert: db.prepare(
      "INSERT INTO log (revision, key, value, create_revision, previous_revision, expires) VALUES (?, ?, ?, ?, ?, ?)",
    ),
    log: db.prepare(`SELECT ${columns} FROM log WHERE revision > ? AND key >= ? AND key < ? ORDER BY revision LIMIT ?`),
    byRevision: db.prepare("SELECT value FROM log WHERE revision = ?"),
    expired:
      db.prepare(`SELECT ${columns} FROM log AS l WHERE expires IS NOT NULL AND expires <= ? AND value IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM log WHERE key = l.key AND revision > l.revision)`),
    compactSuperseded: db.prepare(`DELETE FROM log WHERE revision IN (
      SELECT previous_revision FROM log WHERE revision <= ? AND previous_revision > 0) AND revision <= ?`),
    compactDeleted: db.prepare("DELETE FROM log WHERE value IS NULL AND revision <= ?"),
    state: db.prepare("SELECT value FROM state WHERE name = ?"),
    setState: db.prepare(
      "INSERT INTO state (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    ),
  };
}

function storedOf(row: Row | undefined): Stored | undefined {
  if (!row || row.value === null) return undefined;
  return { key: row.key, value: row.value, createRevision: row.create_revision, revision: row.revision };
}

function numberOf(value: unknown): number | undefined {
  return typeof value === "number" ? value : undefined;
}
