import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { silentLogger } from "@hawser/trace";
import { Exits } from "./exits.ts";
import { KeyedLock } from "./lock.ts";
import { Store } from "./store.ts";

interface Thing {
  id: string;
  name: string;
  count: number;
  createdAt?: string;
}

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "hawser-store-"));
});
afterEach(() => rm(directory, { recursive: true }));

const isWhole = (value: unknown): value is Thing => typeof value === "object" && value !== null && "count" in value;
const open = () =>
  new Store<Thing>({ directory, kind: "thing", nameOf: ({ name }) => name, isWhole, log: silentLogger });

describe("Store", () => {
  it("is on disk when save resolves, and found by the next", async () => {
    const store = open();
    await store.prepare("abc1");
    await store.save({ id: "abc1", name: "a", count: 0 });
    const next = open();
    assert.deepEqual(await next.load(), { halfMade: [], corrupt: [] });
    assert.deepEqual(next.get("abc1"), { id: "abc1", name: "a", count: 0 });
  });

  it("lists what it finds in the order in which it was made", async () => {
    const store = open();
    for (const [id, createdAt] of [
      ["c", "9"],
      ["a", "10"],
      ["d", "1763900000000000000"],
      ["b", "11"],
    ] as const) {
      await store.prepare(id);
      await store.save({ id, name: id, count: 0, createdAt });
    }
    const next = open();
    await next.load();
    assert.equal(
      next
        .list()
        .map(({ id }) => id)
        .join(""),
      "cabd",
    );
  });

  it("tells what is half made from what is corrupt, and removes what a writer has left", async () => {
    const whole = JSON.stringify({ id: "whole", name: "w", count: 1 });
    const files = { cut: whole.slice(0, 20), empty: "", other: whole, less: '{"id": "less"}', zeros: "\0\0\0", whole };
    for (const id of ["none", ...Object.keys(files)]) await mkdir(path.join(directory, id));
    for (const [id, text] of Object.entries(files)) await writeFile(path.join(directory, id, "state.json"), text);
    for (const id of ["whole", "none"]) await writeFile(path.join(directory, id, "state.json.4711.1"), "{");
    const store = open();
    const { halfMade, corrupt } = await store.load();
    assert.deepEqual(halfMade, ["none"]);
    assert.deepEqual(corrupt.map(({ id }) => id).sort(), ["cut", "empty", "less", "other", "zeros"]);
    assert.deepEqual(
      store.list().map(({ id }) => id),
      ["whole"],
    );
    assert.deepEqual(await readdir(path.join(directory, "whole")), ["state.json"]);
  });

  it("notes a change though the disk does not take it, and writes it with the next", async () => {
    const store = open();
    await store.prepare("a");
    await store.save({ id: "a", name: "a", count: 0 });
    await rm(path.join(directory, "a"), { recursive: true });
    assert.equal((await store.note("a", (thing) => ({ ...thing, count: 1 }))).count, 1);
    await assert.rejects(
      store.note("b", (thing) => thing),
      { code: 5 },
    );
    await store.prepare("a");
    await store.update("a", (thing) => ({ ...thing, name: "b" }));
    assert.deepEqual(JSON.parse(await readFile(path.join(directory, "a/state.json"), "utf8")), {
      id: "a",
      name: "b",
      count: 1,
    });
  });

  it("gives a name to one at a time", async () => {
    const store = open();
    store.reserve("a", "1");
    assert.throws(() => store.reserve("a", "2"), { code: 6, message: /"a" is reserved for "1"/ });
    store.release("a", "1");
    store.reserve("a", "2");
    store.release("a", "1");
    assert.throws(() => store.reserve("a", "3"), { code: 6 }, "what another has by now is not given back");
    await store.prepare("2");
    await store.save({ id: "2", name: "a", count: 0 });
    await store.remove("2");
    store.reserve("a", "3");
  });

  it("does not list a new one that cannot be written; its name is taken until it is released", async () => {
    const store = open();
    store.reserve("a", "1");
    await assert.rejects(store.save({ id: "1", name: "a", count: 0 }), { code: "ENOENT" }, "it was not prepared");
    assert.deepEqual(store.list(), []);
    assert.throws(() => store.reserve("a", "2"), { code: 6 });
    store.release("a", "1");
    store.reserve("a", "2");
    await store.prepare("2");
    await store.save({ id: "2", name: "a", count: 0 });
    await rm(store.directoryOf("2"), { recursive: true });
    await assert.rejects(
      store.update("2", (thing) => ({ ...thing, count: 1 })),
      { code: "ENOENT" },
    );
    assert.equal(store.get("2").count, 1, "one that was there stays");
  });

  it("finds by a beginning that fits one only", async () => {
    const store = open();
    for (const id of ["abc1", "abd2"]) {
      await store.prepare(id);
      await store.save({ id, name: id, count: 0 });
    }
    assert.equal(store.find("abc")?.id, "abc1");
    assert.throws(() => store.find("ab"), { code: 3, message: /"ab" is the beginning of several/ });
    assert.equal(store.find(""), undefined);
    assert.throws(() => store.get("zz"), { code: 5, message: 'thing "zz" not found' });
  });

  it("loses no change of two at a time, and writes the latest", async () => {
    const store = open();
    await store.prepare("a");
    await store.save({ id: "a", name: "a", count: 0 });
    await Promise.all(
      Array.from({ length: 20 }, () => store.update("a", (thing) => ({ ...thing, count: thing.count + 1 }))),
    );
    assert.equal(store.get("a").count, 20);
    assert.equal(JSON.parse(await readFile(path.join(directory, "a/state.json"), "utf8")).count, 20);
  });
});

it("KeyedLock: one after the other per key, in order, also after a failure", async () => {
  const lock = new KeyedLock();
  const seen: string[] = [];
  const job = (key: string, name: string, fail = false) =>
    lock.run(key, async () => {
      seen.push(`${name} begins`);
      await new Promise(setImmediate);
      seen.push(`${name} ends`);
      if (fail) throw new Error("failed");
    });
  const first = job("k", "1", true);
  const all = Promise.all([job("k", "2"), job("other", "x")]);
  await assert.rejects(first, /failed/);
  await all;
  assert.ok(seen.indexOf("1 ends") < seen.indexOf("2 begins"));
  assert.ok(seen.indexOf("x begins") < seen.indexOf("1 ends"));
});

describe("Exits", () => {
  const leave = async (id: string, text: string) => {
    await writeFile(path.join(directory, `${id}.tmp`), text);
    await rename(path.join(directory, `${id}.tmp`), path.join(directory, id));
  };

  it("reports each end once, those before it was started too", async () => {
    await leave("early", "7");
    const seen: [string, number][] = [];
    using exits = new Exits({
      directory,
      log: silentLogger,
      onExit: async (id, { exitCode }) => {
        seen.push([id, exitCode]);
        return true;
      },
    });
    await exits.start();
    const waiting = exits.wait("late", 5000);
    await leave("late", "137");
    assert.equal(await waiting, true);
    await exits.look("late");
    assert.deepEqual(seen, [
      ["early", 7],
      ["late", 137],
    ]);
  });

  it("looks again at the end of a container that was not known yet", async () => {
    await leave("new", "3");
    let known = false;
    using exits = new Exits({ directory, log: silentLogger, onExit: async () => known });
    await exits.start();
    assert.equal(await exits.wait("new", 10), false);
    known = true;
    assert.equal(await exits.wait("new", 5000), true);
  });

  it("gives up waiting in time, or when told", async () => {
    using exits = new Exits({ directory, log: silentLogger, onExit: async () => true });
    await exits.start();
    assert.equal(await exits.wait("x", 10), false);
    assert.equal(await exits.wait("x", 5000, AbortSignal.timeout(10)), false);
  });
});
