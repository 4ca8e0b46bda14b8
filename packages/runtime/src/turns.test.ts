import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { turn } from "./turns.ts";

/** Holds the loop, as a system call does. */
function hold(milliseconds: number): void {
  for (const end = performance.now() + milliseconds; performance.now() < end; );
}

describe("turn", () => {
  it("lets other work in between long bits of work that come at once, in their order", async () => {
    const done: number[] = [];
    const bits = Array.from({ length: 12 }, async (_, n) => {
      await turn();
      hold(2);
      done.push(n);
    });
    const seen: number[] = [];
    let over = false;
    const look = () => {
      seen.push(done.length);
      if (!over) setImmediate(look);
    };
    setImmediate(look);
    await Promise.all(bits);
    over = true;
    assert.deepEqual(
      done,
      Array.from({ length: 12 }, (_, n) => n),
    );
    const steps = seen.map((count, index) => count - (seen[index - 1] ?? 0));
    assert.ok(Math.max(...steps) <= 4, `so many of them in one turn: ${steps}`);
  });

  it("is at once where nobody is before", async () => {
    await new Promise(setImmediate);
    await new Promise(setImmediate);
    let passed = false;
    const passing = turn().then(() => (passed = true));
    await Promise.resolve();
    await Promise.resolve();
    assert.ok(passed);
    await passing;
  });
});
