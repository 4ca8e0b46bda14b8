import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { silentLogger } from "@hawser/trace";
import { Leftovers } from "./leftovers.ts";

test("Leftovers: tries again, less and less often, until nothing is left; and no more once it is disposed of", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  try {
    const leftovers = new Leftovers({ log: silentLogger });
    const tries: string[] = [];
    let works = false;
    const takeAway = (id: string, done: () => boolean) => async () => {
      tries.push(id);
      return done();
    };
    const pass = async (milliseconds: number) => {
      mock.timers.tick(milliseconds);
      await new Promise(setImmediate);
    };
    leftovers.add(
      "a",
      takeAway("a", () => works),
    );
    leftovers.add(
      "b",
      takeAway("b", () => true),
    );
    await pass(4999);
    assert.deepEqual(tries, []);
    await pass(1);
    assert.deepEqual(tries, ["a", "b"]);
    assert.equal(leftovers.size, 1);
    await pass(9999);
    assert.equal(tries.length, 2);
    await pass(1);
    assert.deepEqual(tries, ["a", "b", "a"]);
    works = true;
    await pass(20_000);
    assert.equal(leftovers.size, 0);
    await pass(1_000_000);
    assert.equal(tries.length, 4);
    leftovers.add(
      "c",
      takeAway("c", () => false),
    );
    await leftovers[Symbol.asyncDispose]();
    await pass(1_000_000);
    assert.equal(tries.length, 4);
  } finally {
    mock.timers.reset();
  }
});
