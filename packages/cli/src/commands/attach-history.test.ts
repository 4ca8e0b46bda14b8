import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { it } from "node:test";
import fc from "fast-check";
import { bytes } from "../testing/bytes.ts";
import { HistoryGate, overlap } from "./attach-history.ts";

it("overlap finds the longest end that is a beginning", () => {
  for (const [before, after, want] of [
    ["abc", "bcd", 2],
    ["abc", "abc", 3],
    ["abcabc", "abc", 3],
    ["xx", "xxx", 2],
    ["aab", "ab", 2],
    ["abc", "d", 0],
    ["", "a", 0],
    ["a", "", 0],
  ] as const) {
    assert.equal(overlap(bytes(before), bytes(after)), want, `${before} ${after}`);
  }
});

it("overlap agrees with the plain way", () => {
  const text = fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 12 });
  fc.assert(
    fc.property(text, text, (before, after) => {
      let want = Math.min(before.length, after.length);
      while (!before.endsWith(after.slice(0, want))) want--;
      assert.equal(overlap(bytes(before), bytes(after)), want);
    }),
  );
});

it("HistoryGate shows the log, then what the session has beyond it", async () => {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const gate = new HistoryGate({ stdout, stderr });
  await gate.stdout.write(bytes("two\nth"));
  await gate.stdout.write(bytes("ree\nfour\n"));
  assert.equal(stdout.readableLength, 0);
  await gate.release(bytes("one\ntwo\nthree\n"));
  await gate.stdout.write(bytes("five\n"));
  assert.equal(String(stdout.read()), "one\ntwo\nthree\nfour\nfive\n");
  assert.equal(stderr.read(), null);
});

it("HistoryGate keeps nobody waiting when an output fails", async () => {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const gate = new HistoryGate({ stdout, stderr });
  await gate.stdout.write(new Uint8Array(1024 * 1024));
  const waits = assert.rejects(gate.stdout.write(bytes("more")), /gone/);
  stdout.on("error", () => {}).destroy(new Error("gone"));
  await assert.rejects(gate.release(bytes("log")), /gone/);
  await waits;
});
