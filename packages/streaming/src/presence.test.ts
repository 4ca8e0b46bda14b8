import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, it } from "node:test";
import { Questions } from "./presence.ts";

const refused = async () => {
  throw new Error("connection refused");
};
const never = async (signal: AbortSignal) => {
  await once(signal, "abort");
  signal.throwIfAborted();
};

describe("a question whether a peer is there", () => {
  it("is asked again until the time is over: who refuses at first has all of it", async () => {
    let tries = 0;
    const ask = async () => (++tries < 3 ? await refused() : undefined);
    assert.equal(await new Questions().unanswered("a", { ask, timeoutMs: 800 }), undefined);
    assert.equal(tries, 3);
  });

  it("comes to nothing with the last reason there was, or with none", async () => {
    const why = async (ask: (signal: AbortSignal) => Promise<unknown>) =>
      (await new Questions().unanswered("a", { ask, timeoutMs: 40 }))?.message;
    assert.equal(await why(refused), "connection refused");
    assert.equal(await why(never), "nothing within 0.04 s");
  });

  it("comes to nothing at once with a reason that is final", async () => {
    let tries = 0;
    const ask = async () => {
      if (++tries < 3) await refused();
      throw new Error("forbidden");
    };
    const isFinal = (error: unknown) => error instanceof Error && error.message === "forbidden";
    const why = await new Questions().unanswered("a", { ask, timeoutMs: 800, isFinal });
    assert.deepEqual([why?.message, tries], ["forbidden", 3]);
  });

  it("is one for all who ask the same at a time, until the last of them has gone", async () => {
    const questions = new Questions();
    const asked: AbortSignal[] = [];
    const answers: (() => void)[] = [];
    const ask = (signal: AbortSignal) => {
      asked.push(signal);
      return new Promise<void>((resolve) => answers.push(resolve));
    };
    const [first, second] = [new AbortController(), new AbortController()];
    const unanswered = (what: string, signal?: AbortSignal) =>
      questions.unanswered(what, { ask, timeoutMs: 60_000, signal });
    const waiting = [unanswered("a", first.signal), unanswered("a", second.signal), unanswered("b")];
    assert.equal(asked.length, 2);
    first.abort();
    assert.equal(await waiting[0], undefined);
    assert.deepEqual([asked[0]?.aborted, asked[1]?.aborted], [false, false]);
    second.abort();
    assert.equal(await waiting[1], undefined);
    assert.equal(asked[0]?.aborted, true);
    const again = unanswered("a");
    assert.equal(asked.length, 3); // and none that is over
    for (const answer of answers) answer();
    assert.deepEqual(await Promise.all([again, waiting[2]]), [undefined, undefined]);
    assert.equal(await unanswered("a", first.signal), undefined);
    assert.equal(asked.length, 3);
  });
});
