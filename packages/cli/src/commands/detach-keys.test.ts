import assert from "node:assert/strict";
import { describe, it, mock } from "node:test";
import { setImmediate } from "node:timers/promises";
import { DetachFilter, parseDetachKeys } from "./detach-keys.ts";

describe("detach keys", () => {
  it("are letters and control keys", () => {
    assert.deepEqual([...parseDetachKeys("ctrl-p,ctrl-q")], [16, 17]);
    assert.deepEqual([...parseDetachKeys("ctrl-],q,~")], [29, 113, 126]);
    assert.equal(parseDetachKeys("").length, 0);
    for (const wrong of ["ctrl-", "ab", "ctrl-p,", "ctrl-P"]) {
      assert.throws(() => parseDetachKeys(wrong), { name: "UsageError" }, wrong);
    }
  });

  for (const { name, typed, passed, detached } of [
    { name: "nothing of them", typed: ["ab", "c"], passed: "abc", detached: false },
    { name: "in one chunk", typed: ["ab\x10\x11"], passed: "ab", detached: true },
    { name: "in two", typed: ["ab\x10", "\x11"], passed: "ab", detached: true },
    { name: "what follows is not passed", typed: ["\x10\x11cd", "e"], passed: "", detached: true },
    { name: "a beginning that was none", typed: ["\x10", "x\x10\x10", "y"], passed: "\x10x\x10\x10y", detached: false },
    { name: "the second beginning", typed: ["\x10\x10\x11"], passed: "\x10", detached: true },
    { name: "a beginning at the end", typed: ["a\x10"], passed: "a\x10", detached: false },
  ]) {
    it(name, async () => {
      let told = false;
      const filter = new DetachFilter(parseDetachKeys("ctrl-p,ctrl-q"), () => {
        told = true;
      });
      for (const chunk of typed) filter.write(chunk);
      filter.end();
      let read = "";
      for await (const chunk of filter.typed()) {
        await setImmediate();
        read += chunk;
        assert.equal(told, false, "what was typed before is dealt with first");
      }
      assert.equal(read, passed);
      assert.equal(told, detached);
    });
  }

  it("are found where their beginning comes twice", async () => {
    const told = mock.fn();
    const filter = new DetachFilter(parseDetachKeys("a,a,b"), told);
    filter.write("xaaab");
    assert.equal(Buffer.concat(await Array.fromAsync(filter.typed())).toString(), "xa");
    assert.equal(told.mock.callCount(), 1);
  });

  it("are told also where nobody takes what was typed before", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const told = t.mock.fn();
    const filter = new DetachFilter(parseDetachKeys("ctrl-p,ctrl-q"), told);
    const typed = filter.typed();
    filter.write("ab\x10\x11");
    await typed.next();
    assert.equal(told.mock.callCount(), 0);
    t.mock.timers.tick(1000);
    assert.equal(told.mock.callCount(), 1);
    await typed.return();
  });
});
