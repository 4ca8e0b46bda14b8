import assert from "node:assert/strict";
import { test } from "node:test";
import { bounded, maxMessageLength } from "./bounded.ts";
import { Code, CRIError } from "./errors.ts";

test("a message keeps its beginning, its end and its code, and says what is left out", () => {
  const error = bounded(new CRIError(Code.NotFound, `image "${"x".repeat(100_000)}" not found`));
  assert.ok(error instanceof CRIError);
  assert.equal(error.code, Code.NotFound);
  assert.ok(error.message.length <= maxMessageLength);
  assert.match(error.message, /^image "x+ \[…\d+ characters left out…\] x+" not found$/);
});

test("no half of a character is sent", () => {
  for (const length of [maxMessageLength, 3000, 3001]) {
    const { message } = bounded(new Error(`${"x".repeat(length % 2)}${"😀".repeat(length)}`));
    assert.ok(encodeURI(message).length < 64 * 1024);
  }
  assert.equal(bounded(new Error("a\ud800b")).message, "a\ufffdb");
});

test("any other error is the one it was", () => {
  const error = new Error("x".repeat(maxMessageLength));
  assert.equal(bounded(error), error);
  assert.equal(bounded("odd").message, "odd");
});
