import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";
import { silentLogger } from "@hawser/trace";
import { Store } from "../store/store.ts";
import { PodCgroups } from "./pod-cgroups.ts";

interface Member {
  id: string;
  cgroupParent: string;
  ownsCgroup: boolean;
}

const cgroupParent = "/pods/pod1";
const { signal } = new AbortController();
const there = async () => true;
const notThere = async () => false;

function fixture(...ids: string[]) {
  const listed = ids.map((id) => ({ id, cgroupParent, ownsCgroup: true }));
  return { listed, cgroups: new PodCgroups({ list: () => listed }) };
}

test("PodCgroups: a cgroup goes with its last sandbox, if it is the runtime's", async () => {
  const { cgroups, listed } = fixture("old");
  assert.equal(await cgroups.enter({ id: "new", cgroupParent }, { there, signal }), true);
  const [old] = listed;
  assert.ok(old);
  const leaveOld = cgroups.leave(old, async (last) => {
    listed.length = 0;
    return last;
  });
  assert.equal(await leaveOld, false, "one is in the making");
  assert.equal(await cgroups.leave({ id: "new", cgroupParent, ownsCgroup: true }, async (last) => last), true);
  assert.equal(await cgroups.enter({ id: "guest", cgroupParent }, { there, signal }), false, "somebody else's");
  assert.equal(await cgroups.leave({ id: "guest", cgroupParent, ownsCgroup: false }, async (last) => last), false);
});

test("PodCgroups: of two that are made and fail at once, the last ends their cgroup, whoever made it", async () => {
  const { cgroups } = fixture();
  const ids = ["a", "b"];
  const enter = (id: string, index: number) =>
    cgroups.enter({ id, cgroupParent }, { there: index === 0 ? notThere : there, signal });
  const [a = false, b = false] = await Promise.all(ids.map(enter));
  assert.deepEqual([a, b], [true, true]);
  const ends = ids.map((id) => cgroups.leave({ id, cgroupParent, ownsCgroup: true }, async (last) => last));
  assert.deepEqual(await Promise.all(ends), [false, true]);
});

test("PodCgroups: of two whose records cannot be written at once, the last ends their cgroup", async () => {
  const directory = path.join(import.meta.dirname, "no-such-directory");
  const isWhole = (value: unknown): value is Member => typeof value === "object";
  const store = new Store<Member>({ directory, kind: "sandbox", nameOf: ({ id }) => id, isWhole, log: silentLogger });
  const cgroups = new PodCgroups(store);
  const ended: boolean[] = [];
  const make = async (id: string, there: () => Promise<boolean>) => {
    const record = { id, cgroupParent, ownsCgroup: await cgroups.enter({ id, cgroupParent }, { there, signal }) };
    await assert.rejects(store.save(record), { code: "ENOENT" });
    await cgroups.leave(record, async (last) => ended.push(last));
  };
  await Promise.all([make("a", notThere), make("b", there)]);
  assert.deepEqual(ended, [false, true]);
});

test("PodCgroups: nobody enters a cgroup while it is ended; who does not want to any more is not counted", async () => {
  const { cgroups, listed } = fixture("old");
  const ended = Promise.withResolvers<void>();
  const abort = new AbortController();
  let isThere = true;
  const [old] = listed;
  assert.ok(old);
  const leaving = cgroups.leave(old, async (last) => {
    assert.equal(last, true);
    await ended.promise;
    isThere = false;
    listed.length = 0;
  });
  const looks: boolean[] = [];
  const look = async () => {
    looks.push(isThere);
    return isThere;
  };
  const gone = cgroups.enter({ id: "gone", cgroupParent }, { there: look, signal: abort.signal });
  const entering = cgroups.enter({ id: "new", cgroupParent }, { there: look, signal });
  abort.abort(new Error("enough"));
  await assert.rejects(gone, { message: "enough" });
  assert.deepEqual(looks, []);
  ended.resolve();
  await leaving;
  assert.equal(await entering, true);
  assert.deepEqual(looks, [false]);
  assert.equal(await cgroups.leave({ id: "new", cgroupParent, ownsCgroup: true }, async (last) => last), true);
});
