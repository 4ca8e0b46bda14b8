import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Storage, StorageEvent, StorageWatch } from "../storage.ts";

const key = (name: string) => `/registry/pods/default/${name}`;

/** What every Storage must do. Each driver's test file calls this once; `open` gives an empty one. */
export function storageSuite(name: string, open: () => Promise<Storage>): void {
  describe(`${name}: storage`, () => {
    it("gives each write the next revision", async () => {
      await using storage = await open();
      const start = await storage.revision();
      assert.ok(start >= 1);
      assert.equal(await storage.put(key("a"), "1", { expect: 0 }), start + 1);
      assert.equal(await storage.put(key("b"), "1", { expect: 0 }), start + 2);
      assert.equal(await storage.revision(), start + 2);
    });

    it("writes only when the key's revision is the expected one", async () => {
      await using storage = await open();
      const first = await revisionOf(storage.put(key("a"), "1", { expect: 0 }));
      assert.equal(await storage.put(key("a"), "2", { expect: 0 }), undefined);
      const second = await revisionOf(storage.put(key("a"), "2", { expect: first }));
      assert.equal(await storage.put(key("a"), "3", { expect: first }), undefined);
      assert.deepEqual(await storage.get(key("a")), {
        key: key("a"),
        value: "2",
        createRevision: first,
        revision: second,
      });
    });

    it("deletes only when the key's revision is the expected one", async () => {
      await using storage = await open();
      const first = await revisionOf(storage.put(key("a"), "1", { expect: 0 }));
      assert.equal(await storage.delete(key("a"), { expect: first + 1 }), undefined);
      assert.equal(await storage.delete(key("a"), { expect: first }), first + 1);
      assert.equal(await storage.get(key("a")), undefined);
      assert.equal(await storage.delete(key("a"), { expect: first }), undefined);
      assert.equal(await storage.delete(key("a"), { expect: 0 }), undefined);
      const again = await revisionOf(storage.put(key("a"), "2", { expect: 0 }));
      assert.equal((await storage.get(key("a")))?.createRevision, again);
    });

    it("lists a prefix in order, with a limit, from a key, and counts the rest", async () => {
      await using storage = await open();
      for (const part of ["c", "a", "b", "d"]) await storage.put(key(part), part, { expect: 0 });
      await storage.put("/registry/pods/default2/x", "x", { expect: 0 });
      const prefix = "/registry/pods/default/";
      const all = await storage.list({ prefix });
      assert.deepEqual(values(all.items), ["a", "b", "c", "d"]);
      assert.equal(all.remaining, 0);
      const page = await storage.list({ prefix, limit: 2 });
      assert.deepEqual(values(page.items), ["a", "b"]);
      assert.equal(page.remaining, 2);
      const rest = await storage.list({ prefix, limit: 2, from: `${key("b")}\0` });
      assert.deepEqual(values(rest.items), ["c", "d"]);
      assert.equal(rest.remaining, 0);
    });

    it("lists a past revision, until it is compacted", async () => {
      await using storage = await open();
      const first = await revisionOf(storage.put(key("a"), "1", { expect: 0 }));
      const second = await revisionOf(storage.put(key("a"), "2", { expect: first }));
      const third = await revisionOf(storage.delete(key("a"), { expect: second }));
      const at = async (revision: number) => values((await storage.list({ prefix: "/registry/", revision })).items);
      assert.deepEqual(await at(first), ["1"]);
      assert.deepEqual(await at(second), ["2"]);
      assert.deepEqual(await at(third), []);
      await assert.rejects(at(third + 1), { name: "FutureRevisionError" });
      await storage.compact(second);
      await assert.rejects(at(first), { name: "CompactedError" });
      assert.deepEqual(await at(second), ["2"]);
    });

    it("watches from a revision: what was, then what comes, with what stood before", async () => {
      await using storage = await open();
      const start = await storage.revision();
      const first = await revisionOf(storage.put(key("a"), "1", { expect: 0 }));
      using watch = new Watcher(storage, "/registry/pods/", start);
      assert.deepEqual(await watch.next(), { key: key("a"), revision: first, createRevision: first, value: "1" });
      await storage.put("/registry/nodes/n", "n", { expect: 0 });
      const second = await revisionOf(storage.put(key("a"), "2", { expect: first }));
      const want = { key: key("a"), revision: second, createRevision: first, value: "2", previous: "1" };
      assert.deepEqual(await watch.next(), want);
      const third = await revisionOf(storage.delete(key("a"), { expect: second }));
      assert.deepEqual(await watch.next(), { key: key("a"), revision: third, createRevision: first, previous: "2" });
    });

    it("an idle watch is as far as the store", async () => {
      await using storage = await open();
      using watch = new Watcher(storage, "/registry/pods/", await storage.revision());
      const pending = watch.next();
      const elsewhere = await revisionOf(storage.put("/registry/nodes/n", "n", { expect: 0 }));
      assert.equal(watch.revision, elsewhere);
      await storage.put(key("a"), "1", { expect: 0 });
      assert.equal((await pending).value, "1");
    });

    it("a watch that nobody reads for thousands of writes misses none", async () => {
      await using storage = await open();
      const start = await storage.revision();
      using watch = new Watcher(storage, "/registry/pods/", start);
      const count = 3000;
      for (let index = 0; index < count; index++) await storage.put(key(String(index)), "x", { expect: 0 });
      for (let index = 0; index < count; index++) {
        assert.equal((await watch.next()).revision, start + 1 + index);
      }
    });

    it("refuses to watch from a compacted revision", async () => {
      await using storage = await open();
      const first = await revisionOf(storage.put(key("a"), "1", { expect: 0 }));
      const second = await revisionOf(storage.put(key("a"), "2", { expect: first }));
      await storage.compact(second);
      const watch = () => storage.watch("/registry/", { after: first, signal: new AbortController().signal });
      assert.throws(watch, { name: "CompactedError" });
      using fine = new Watcher(storage, "/registry/", second);
      await storage.put(key("a"), "3", { expect: second });
      assert.equal((await fine.next()).previous, "2");
    });

    it("a watch ends when its signal is aborted, and when the store closes", async () => {
      const storage = await open();
      const watch = new Watcher(storage, "/registry/", await storage.revision());
      const other = new Watcher(storage, "/registry/", await storage.revision());
      const ended = watch.ended();
      const closed = other.ended();
      watch[Symbol.dispose]();
      await ended;
      await storage[Symbol.asyncDispose]();
      await closed;
    });
  });
}

async function revisionOf(promise: Promise<number | undefined>): Promise<number> {
  const revision = await promise;
  assert.ok(revision !== undefined);
  return revision;
}

function values(items: { value: string }[]): string[] {
  return items.map(({ value }) => value);
}

/** One event after the other. */
class Watcher implements Disposable {
  readonly #stop = new AbortController();
  readonly #watch: StorageWatch;
  readonly #batches: AsyncIterator<StorageEvent[]>;
  #batch: StorageEvent[] = [];

  constructor(storage: Storage, prefix: string, after: number) {
    this.#watch = storage.watch(prefix, { after, signal: this.#stop.signal });
    this.#batches = this.#watch[Symbol.asyncIterator]();
  }

  get revision(): number {
    return this.#watch.revision;
  }

  async next(): Promise<StorageEvent> {
    for (;;) {
      const event = this.#batch.shift();
      if (event) return event;
      const { done, value } = await this.#batches.next();
      assert.ok(!done, "the watch ended");
      this.#batch = [...value];
    }
  }

  async ended(): Promise<void> {
    assert.equal((await this.#batches.next()).done, true);
  }

  [Symbol.dispose](): void {
    this.#stop.abort();
  }
}
