import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { formatQuantity, isQuantity, milliValue, parseQuantity } from "./quantity.ts";

const cases: [string, number][] = [
  ["100m", 0.1],
  ["1", 1],
  ["1.5", 1.5],
  ["128Mi", 134217728],
  ["1G", 1e9],
  ["1e3", 1000],
  ["5n", 5e-9],
  ["-2Ki", -2048],
  [".5", 0.5],
];
for (const [text, want] of cases) test(`parseQuantity: ${text}`, () => assert.equal(parseQuantity(text), want));
for (const bad of ["", "x", "1Mb", "1 Gi", "1..2", "--1"]) {
  test(`isQuantity: ${JSON.stringify(bad)} is none`, () => assert.equal(isQuantity(bad), false));
}
test("milliValue rounds up", () => {
  assert.equal(milliValue("0.1"), 100);
  assert.equal(milliValue("1u"), 1);
  assert.equal(milliValue("2"), 2000);
});
test("formatQuantity writes the shortest exact form", () => {
  assert.equal(formatQuantity(0.1), "100m");
  assert.equal(formatQuantity(3), "3");
  assert.equal(formatQuantity(2 ** 30, "binary"), "1Gi");
  assert.equal(formatQuantity(1500, "binary"), "1500");
});
test("a formatted integer reads back", () => {
  fc.assert(
    fc.property(fc.maxSafeInteger(), fc.constantFrom("decimal" as const, "binary" as const), (value, format) => {
      assert.equal(parseQuantity(formatQuantity(value, format)) - value, 0);
    }),
  );
});
