import assert from "node:assert/strict";
import { test } from "node:test";
import { Signal } from "@hawser/cri";
import { criSignal, signalNumber, signalOf, stopSignal } from "./signals.ts";

for (const [text, want] of [
  ["SIGTERM", 15],
  ["quit", 3],
  ["9", 9],
  ["SIGRTMIN", 34],
  ["SIGRTMIN+3", 37],
  ["RTMAX-1", 63],
  ["SIGRTMAX", 64],
  ["SIGRTMIN+99", undefined],
  ["0", undefined],
  ["65", undefined],
  ["SIGNONSENSE", undefined],
  ["", undefined],
] as const) {
  test(`signalNumber: "${text}" is ${want}`, () => assert.equal(signalNumber(text), want));
}

test("every CRI signal has a number, and the number leads back to one of that number", () => {
  for (const signal of Object.values(Signal)) {
    if (signal === Signal.RUNTIME_DEFAULT) continue;
    const number = signalOf(signal);
    assert.ok(number && number < 65, String(signal));
    assert.equal(signalOf(criSignal(number)), number);
  }
  assert.equal(signalOf(Signal.SIGRTMAXMINUS14), 50);
});

test("stopSignal: the request, then the image, then SIGTERM", () => {
  assert.equal(stopSignal(Signal.SIGINT, "SIGQUIT"), 2);
  assert.equal(stopSignal(Signal.RUNTIME_DEFAULT, "SIGQUIT"), 3);
  assert.equal(stopSignal(Signal.RUNTIME_DEFAULT, "nonsense"), 15);
  assert.equal(stopSignal(Signal.RUNTIME_DEFAULT, undefined), 15);
});
