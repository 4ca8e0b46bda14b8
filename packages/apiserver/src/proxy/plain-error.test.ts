import assert from "node:assert/strict";
import { test } from "node:test";
import { plainError } from "./plain-error.ts";

test("plainError is a 500 without a reason: clients print its message alone", () => {
  const { status } = plainError("error dialing backend: x");
  assert.deepEqual([status.code, status.reason, status.message], [500, undefined, "error dialing backend: x"]);
});
