import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually } from "./eventually.ts";

test("eventually: looks until there is something, and says what did not come, with the last error", async () => {
  let looks = 0;
  assert.equal(await eventually("three", () => ++looks === 3 && looks, { everyMs: 1 }), 3);
  assert.equal(await eventually(async () => "", { everyMs: 1 }), "");
  const six: number = await eventually("a number", async () => (++looks < 6 ? null : looks), { everyMs: 1 });
  assert.equal(six, 6);
  const cause = new Error("not there");
  const failing = () => Promise.reject(cause);
  await assert.rejects(eventually("a sign", failing, { timeoutMs: 5 }), { message: "not within 5 ms: a sign", cause });
  await assert.rejects(
    eventually(() => undefined, { timeoutMs: 5 }),
    { message: "not within 5 ms: () => undefined" },
  );
});
