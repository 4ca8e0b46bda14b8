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

function fixture(...ids: string[]) {
  const listed = ids.map((id) => ({ id, cgroupParent, ownsCgroup: true }));
  return { listed, cgroups: new PodCgroups({ list: () => listed }) };
}

test("PodCgroups: a cgroup goes with its last sandbox, if it is the runtime's", async () => {
  const { cgroups, listed } = fixture("old");
  assert.deepEqual(await cgroups.enter({ id: "new", cgroupParent }, { there, signal }), owned);
  const [old] = listed;
  assert.ok(old);
  const leaveOld = cgroups.leave(old, async (last) => {
    listed.length = 0;
    return last !== undefined;
  });
  assert.equal(await leaveOld, false, "one is in the making");
  assert.equal(
    await cgroups.leave({ id: "new", cgroupParent, ownsCgroup: true }, async (last) => last !== undefined),
    true,
  );
  const guest = await cgroups.enter({ id: "guest", cgroupParent }, { there, signal });
  assert.deepEqual(guest, { ownsCgroup: false }, "somebody else's");
  assert.equal(
    await cgroups.leave({ id: "guest", cgroupParent, ownsCgroup: false }, async (last) => last !== undefined),
    false,
  );
});

test("PodCgroups: of two that are made and fail at once, the last ends their cgroup, whoever made it", async () => {
  const { cgroups } = fixture();
  const ids = ["a", "b"];
  const enter = (id: string, index: number) =>
    cgroups.enter({ id, cgroupParent }, { there: index === 0 ? notThere : there, signal });
  assert.deepEqual(await Promise.all(ids.map(enter)), [owned, owned]);
  const ends = ids.map((id) =>
    cgroups.leave({ id, cgroupParent, ownsCgroup: true }, async (last) => last !== undefined),
  );
  assert.deepEqual(await Promise.all(ends), [false, true]);
});

test("PodCgroups: of two whose records cannot be written at once, the last ends their cgroup", async () => {
  const directory = path.join(import.meta.dirname, "no-such-directory");
  const isWhole = (value: unknown): value is Member => typeof value === "object";
  const store = new Store<Member>({ directory, kind: "sandbox", nameOf: ({ id }) => id, isWhole, log: silentLogger });
  const cgroups = new PodCgroups(store);
  const ended: boolean[] = [];
  const make = async (id: string, there: () => Promise<boolean>) => {
    const ownership = await cgroups.enter({ id, cgroupParent }, { there, signal });
    const record = { id, cgroupParent, ...ownership };
    await assert.rejects(store.save(record), { code: "ENOENT" });
    await cgroups.leave(record, async (last) => ended.push(last !== undefined));
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
    assert.ok(last);
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
  assert.deepEqual(await entering, owned);
  assert.deepEqual(looks, [false]);
  assert.equal(
    await cgroups.leave({ id: "new", cgroupParent, ownsCgroup: true }, async (last) => last !== undefined),
    true,
  );
});

test("PodCgroups: what is made above others' is told; nothing is asked of what is above somebody else's cgroup", async () => {
  const { cgroups } = fixture();
  const asked: (readonly string[])[] = [];
  const enter = (id: string, there: () => Promise<boolean>, ours: string[]) => {
    const oursAbove = async ({ others, made }: { others: readonly string[]; made: boolean }) => {
      assert.equal(made, true);
      asked.push(others);
      return ours;
    };
    return cgroups.enter({ id, cgroupParent: `/a/${id}` }, { there, oursAbove, signal });
  };
  assert.deepEqual(await enter("one", notThere, ["/sys/a"]), { ownsCgroup: true, madeAbove: ["/sys/a"] });
  assert.deepEqual(await enter("two", there, ["/sys/a"]), { ownsCgroup: false });
  assert.deepEqual(await enter("three", notThere, []), { ownsCgroup: true });
  assert.deepEqual(asked, [[], ["/sys/a"]]);
});

test("PodCgroups: one that was made for one below it goes with the last of both, and is not ended with what else is in it", async () => {
  const { cgroups } = fixture();
  const none = async () => [];
  const of = ({ others }: { others: readonly string[] }) => Promise.resolve([...others]);
  const made = { ownsCgroup: true, madeAbove: ["/sys/x"] };
  const within = { id: "within", cgroupParent: "/x/a" };
  const outer = { id: "outer", cgroupParent: "/x" };
  const beside = { id: "beside", cgroupParent: "/xx" };
  const isLast = async (last: unknown) => last !== undefined;
  const enterWithin = () => cgroups.enter(within, { there: notThere, oursAbove: async () => ["/sys/x"], signal });
  for (const order of [
    [within, outer],
    [outer, within],
  ]) {
    assert.deepEqual(await enterWithin(), made);
    const ofOuter = await cgroups.enter(outer, { there, oursAbove: of, signal });
    assert.deepEqual(ofOuter, { ownsCgroup: false, madeAbove: ["/sys/x"] });
    assert.deepEqual(await cgroups.enter(beside, { there, oursAbove: none, signal }), { ownsCgroup: false });
    const lasts: [string, boolean][] = [];
    for (const one of order) {
      lasts.push([one.id, await cgroups.leave({ ...one, ...(one === outer ? ofOuter : made) }, isLast)]);
    }
    assert.deepEqual(
      lasts,
      order.map(({ id }, index) => [id, id === "within" || index === 1]),
    );
    assert.equal(await cgroups.leave({ ...beside, ownsCgroup: false }, isLast), false);
  }
});

test("PodCgroups: what is above is not removed while another enters, nor what that one is in", async () => {
  const { cgroups } = fixture();
  const removed: string[][] = [];
  const made = { ownsCgroup: true, madeAbove: ["/sys/x"] };
  const oursAbove = async () => ["/sys/x"];
  const one = { id: "one", cgroupParent: "/x/a", ...made };
  await cgroups.enter(one, { there: notThere, oursAbove, signal });
  const removing = Promise.withResolvers<void>();
  const removal = Promise.withResolvers<void>();
  const leaving = cgroups.leave(one, async (last) => {
    await last?.removeAbove(async (inUse) => {
      removed.push(inUse);
      removing.resolve();
      await removal.promise;
    });
  });
  await removing.promise;
  let asked = false;
  const two = { id: "two", cgroupParent: "/x/b", ...made };
  const entering = cgroups.enter(two, {
    there: notThere,
    oursAbove: async () => {
      asked = true;
      return ["/sys/x"];
    },
    signal,
  });
  await new Promise(setImmediate);
  assert.equal(asked, false);
  removal.resolve();
  await leaving;
  assert.deepEqual(await entering, made);
  await cgroups.enter(one, { there: notThere, oursAbove, signal });
  await cgroups.leave(two, async (last) => last?.removeAbove(async (inUse) => void removed.push(inUse)));
  assert.deepEqual(removed, [[], ["/x/a"]]);
});
