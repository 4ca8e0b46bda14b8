import assert from "node:assert/strict";
import { test } from "node:test";
import { humanDuration } from "./duration.ts";

const day = 86400;
const cases: [number, string][] = [
  [-5, "<invalid>"],
  [-1, "0s"],
  [0, "0s"],
  [119, "119s"],
  [120, "2m"],
  [125, "2m5s"],
  [600, "10m"],
  [10799, "179m"],
  [10800, "3h"],
  [3 * 3600 + 120, "3h2m"],
  [8 * 3600, "8h"],
  [2 * day + 3600, "2d1h"],
  [8 * day, "8d"],
  [2 * 365 * day + 5 * day, "2y5d"],
  [9 * 365 * day, "9y"],
];
for (const [seconds, want] of cases) {
  test(`humanDuration: ${seconds}`, () => assert.equal(humanDuration(seconds), want));
}
