import assert from "node:assert/strict";
import { test } from "node:test";
import type { ExecGroup } from "../cgroup/exec-groups.ts";
import { endOnAbort } from "./exec-ender.ts";

/** A command whose group can be looked at only from the `from`th time on. */
function commandIn(from: number) {
  const { promise: exited, resolve } = Promise.withResolvers<{ code: number }>();
  const seen = { kills: 0, givenUp: false };
  const group = {
    signal: () => Promise.reject(new Error("EMFILE")),
    async kill() {
      if (++seen.kills < from) throw new Error("EMFILE");
      resolve({ code: 137 });
    },
  } as unknown as ExecGroup;
  const giveUp = () => {
    seen.givenUp = true;
  };
  return { group, started: { exited, giveUp }, seen };
}

test("endOnAbort: a command that cannot be killed at once is killed a little later", async () => {
  const { group, started, seen } = commandIn(3);
  using ender = endOnAbort({ signal: AbortSignal.abort(), group, started, graceMs: 1 });
  await ender.ended();
  assert.deepEqual(seen, { kills: 3, givenUp: false });
});

test("endOnAbort: one that cannot be killed at all is told of, and not waited for", async (t) => {
  const { group, started, seen } = commandIn(Number.POSITIVE_INFINITY);
  let now = 0;
  t.mock.method(performance, "now", () => (now += 500));
  using ender = endOnAbort({ signal: AbortSignal.abort(), group, started, graceMs: 0 });
  await assert.rejects(ender.ended(), (error) => {
    assert.match(String(error), /may be running yet: it could not be ended/);
    assert.match(String((error as Error).cause), /EMFILE/);
    return true;
  });
  assert.ok(seen.givenUp);
});
