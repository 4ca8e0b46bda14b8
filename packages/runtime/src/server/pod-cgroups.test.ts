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
const owned = { ownsCgroup: true };
const { signal } = new AbortController();
const there = async () => true;
const notThere = async () => false;
const missingAbove = async () => [];

function fixture(...ids: string[]) {
  const listed = ids.map((id) => ({ id, cgroupParent, ownsCgroup: true }));
  return { listed, cgroups: new PodCgroups({ list: () => listed }) };
}

test("PodCgroups: a cgroup goes with its last sandbox, if it is the runtime's", async () => {
  const { cgroups, listed } = fixture("old");
  assert.deepEqual(await cgroups.enter({ id: "new", cgroupParent }, { there, missingAbove, signal }), owned);
  const [old] = listed;
  assert.ok(old);
  const leaveOld = cgroups.leave(old, async (last) => {
    listed.length = 0;
    return last;
  });
  assert.equal(await leaveOld, false, "one is in the making");
  assert.equal(await cgroups.leave({ id: "new", cgroupParent, ownsCgroup: true }, async (last) => last), true);
  const guest = await cgroups.enter({ id: "guest", cgroupParent }, { there, missingAbove, signal });
  assert.deepEqual(guest, { ownsCgroup: false }, "somebody else's");
  assert.equal(await cgroups.leave({ id: "guest", cgroupParent, ownsCgroup: false }, async (last) => last), false);
});

test("PodCgroups: of two that are made and fail at once, the last ends their cgroup, whoever made it", async () => {
  const { cgroups } = fixture();
  const ids = ["a", "b"];
  const enter = (id: string, index: number) =>
    cgroups.enter({ id, cgroupParent }, { there: index === 0 ? notThere : there, missingAbove, signal });
  assert.deepEqual(await Promise.all(ids.map(enter)), [owned, owned]);
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
    const ownership = await cgroups.enter({ id, cgroupParent }, { there, missingAbove, signal });
    const record = { id, cgroupParent, ...ownership };
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
  const gone = cgroups.enter({ id: "gone", cgroupParent }, { there: look, missingAbove, signal: abort.signal });
  const entering = cgroups.enter({ id: "new", cgroupParent }, { there: look, missingAbove, signal });
  abort.abort(new Error("enough"));
  await assert.rejects(gone, { message: "enough" });
  assert.deepEqual(looks, []);
  ended.resolve();
  await leaving;
  assert.deepEqual(await entering, owned);
  assert.deepEqual(looks, [false]);
  assert.equal(await cgroups.leave({ id: "new", cgroupParent, ownsCgroup: true }, async (last) => last), true);
});

test("PodCgroups: what is made above others' is told; nothing is asked of what is above somebody else's cgroup", async () => {
  const { cgroups } = fixture();
  const asked: (readonly string[])[] = [];
  const enter = (id: string, there: () => Promise<boolean>, missing: string[]) => {
    const above = async (others: readonly string[]) => {
      asked.push(others);
      return missing;
    };
    return cgroups.enter({ id, cgroupParent: `/a/${id}` }, { there, missingAbove: above, signal });
  };
  assert.deepEqual(await enter("one", notThere, ["/sys/a"]), { ownsCgroup: true, madeAbove: ["/sys/a"] });
  assert.deepEqual(await enter("two", there, ["/sys/a"]), { ownsCgroup: false });
  assert.deepEqual(await enter("three", notThere, []), { ownsCgroup: true });
  assert.deepEqual(asked, [[], ["/sys/a"]]);
});
