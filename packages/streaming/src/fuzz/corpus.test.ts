// Replays what the fuzzer has found: what once reached new code, and what once broke something.
import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { describe, it } from "node:test";
import fc from "fast-check";
import { corpusFolder, readCorpus } from "./corpus.ts";
import { mutate, randomNumbers } from "./mutate.ts";
import { targets } from "./targets.ts";

describe("the fuzz corpus", () => {
  for (const [name, target] of Object.entries(targets)) {
    it(`of ${name}, and a few steps from it`, { timeout: 60_000 }, async () => {
      const stored = (await readCorpus(name)).map(({ input }) => input);
      assert.ok(stored.length > 0, "there is none");
      const random = randomNumbers(1);
      for (const input of stored) await target(input);
      for (const input of stored.slice(0, 20)) await target(mutate(input, stored, random));
    });

    it(`${name} keeps its promises for any bytes`, { timeout: 60_000 }, async () => {
      const bytes = fc.uint8Array({ maxLength: 300 });
      await fc.assert(
        fc.asyncProperty(bytes, async (input) => target(Buffer.from(input))),
        { numRuns: 50 },
      );
    });
  }

  it("is of targets that there are", async () => {
    assert.deepEqual((await readdir(corpusFolder)).sort(), Object.keys(targets).sort());
  });
});
