import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubernetesObject, WatchEvent } from "@hawser/api";
import { silentLogger } from "@hawser/trace";
import { follow } from "./follow.ts";
import { memoryObjects } from "./testing/memory-objects.ts";

const named = (name: string, resourceVersion = "1"): KubernetesObject => ({ metadata: { name, resourceVersion } });

test("follow keeps up, and ends when aborted", async () => {
  const objects = memoryObjects();
  const stop = new AbortController();
  const changes: string[] = [];
  objects.put({ resource: "nodes" }, named("a"));
  const followed = follow(
    objects,
    { resource: "nodes" },
    {
      signal: stop.signal,
      log: silentLogger,
      onChange: ({ type, object, previous }) =>
        changes.push(`${type} ${object.metadata?.name} ${previous !== undefined}`),
    },
  );
  await followed.synced;
  objects.put({ resource: "nodes" }, named("b"));
  objects.put({ resource: "nodes" }, named("a"));
  objects.put({ resource: "pods" }, named("other"));
  objects.remove({ resource: "nodes", name: "b" });
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(changes, ["set a false", "set b false", "set a true", "delete b true"]);
  assert.deepEqual([...followed.items.keys()], ["a"]);
  stop.abort();
  await followed.ended;
});

test("what went and came while nobody watched is found by the next list", async () => {
  const stop = new AbortController();
  const lists = [
    [named("stays"), named("goes"), named("changes")],
    [named("stays"), named("changes", "2"), named("comes")],
  ];
  const changes: string[] = [];
  const expired: WatchEvent = { type: "ERROR", object: { status: "Failure", code: 410 } };
  const objects = {
    list: async <T>() => ({ items: (lists.shift() ?? []) as T[], resourceVersion: "1" }),
    async *watch<T extends KubernetesObject>(): AsyncIterable<WatchEvent<T>> {
      if (lists.length > 0) yield expired as WatchEvent<T>;
      else stop.abort();
    },
  };
  const followed = follow(
    objects,
    { resource: "x" },
    {
      signal: stop.signal,
      log: silentLogger,
      onChange: ({ type, object }) => changes.push(`${type} ${object.metadata?.name}`),
    },
  );
  await followed.ended;
  assert.deepEqual(changes.slice(3), ["delete goes", "set changes", "set comes"]);
});

test("a first list that fails rejects synced; the copy comes later all the same", async () => {
  const stop = new AbortController();
  let failures = 1;
  const objects = {
    async list<T>() {
      if (failures-- > 0) throw new Error("disk is full");
      return { items: [named("a")] as T[], resourceVersion: "1" };
    },
    async *watch<T extends KubernetesObject>(): AsyncIterable<WatchEvent<T>> {
      stop.abort();
      yield { type: "BOOKMARK", object: named("") as T };
    },
  };
  const followed = follow(objects, { resource: "x" }, { signal: stop.signal, log: silentLogger });
  await assert.rejects(followed.synced, /disk is full/);
  await followed.ended;
  assert.equal(followed.items.size, 1);
});
