import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { sharedCall } from "./shared-call.ts";

/** Calls of a shared body that end when they are told to. */
function fixture() {
  const begun: (PromiseWithResolvers<string> & { signal: AbortSignal })[] = [];
  const call = sharedCall((signal) => {
    const one = { ...Promise.withResolvers<string>(), signal };
    begun.push(one);
    return one.promise;
  });
  return { begun, call };
}
const patient = () => new AbortController();

describe("sharedCall", () => {
  it("gives all who call meanwhile one answer, and the next one its own", async () => {
    const { begun, call } = fixture();
    const calls = [1, 2, 3].map(() => call(patient().signal));
    assert.equal(begun.length, 1);
    begun[0]?.resolve("first");
    assert.deepEqual(await Promise.all(calls), ["first", "first", "first"]);
    const next = call(patient().signal);
    assert.equal(begun.length, 2);
    begun[1]?.resolve("second");
    assert.equal(await next, "second");
  });

  it("goes on for the others when one has gone, and ends with the last", async () => {
    const { begun, call } = fixture();
    const [one, other] = [patient(), patient()];
    const reason = new Error("gone");
    const [first, second] = [call(one.signal), call(other.signal)];
    one.abort(reason);
    await assert.rejects(first, reason);
    assert.equal(begun[0]?.signal.aborted, false);
    other.abort(reason);
    await assert.rejects(second, reason);
    assert.equal(begun[0]?.signal.aborted, true);
    const third = call(patient().signal); // not what nobody waits for any more
    assert.equal(begun.length, 2);
    begun[0]?.reject(reason);
    begun[1]?.resolve("third");
    assert.equal(await third, "third");
    await assert.rejects(call(one.signal), reason);
    assert.equal(begun.length, 2, "none is begun for one who has gone");
  });

  it("fails for all, and is tried anew", async () => {
    const { begun, call } = fixture();
    const calls = [call(patient().signal), call(patient().signal)];
    begun[0]?.reject(new Error("no"));
    for (const one of calls) await assert.rejects(one, /^Error: no$/);
    const next = call(patient().signal);
    begun[1]?.resolve("yes");
    assert.equal(await next, "yes");
  });
});
