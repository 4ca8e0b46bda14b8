import assert from "node:assert/strict";
import { it } from "node:test";
import { fairShare, maxUnfinished, Unfinished } from "./unfinished.ts";

it("has those go that hold most, when all together hold too much, until there is room again", () => {
  const all = Array.from({ length: 16 }, () => new Unfinished());
  for (const one of all) assert.ok(one.add(maxUnfinished / 16));
  const late = new Unfinished();
  assert.ok(late.add(fairShare));
  assert.equal(late.add(1), false);
  assert.equal(all[0]?.add(1), false);
  all[0]?.clear();
  assert.ok(late.add(1));
  for (const one of [...all, late]) one.clear();
  assert.ok(new Unfinished().add(maxUnfinished));
});
