// `kill -9` of the runtime at each step of each call, then another start: nothing is lost, nothing doubled, nothing left.
// Needs root, crun, conmon and the CNI plugins. A few steps here; `make test-faults` takes every one.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type Registry, startRegistry } from "@hawser/testing";
import { eventually } from "../crun/support/session.ts";
import { bystander, type Cut, cuts } from "./support/calls.ts";
import { imageCuts, pushCutImage } from "./support/image-calls.ts";
import { difference, inventory, settledInventory } from "./support/inventory.ts";
import { thorough } from "./support/length.ts";
import { type FaultyRuntime, startFaulty } from "./support/runtime-process.ts";

describe("a runtime killed at any step of", { timeout: thorough ? 3_600_000 : 280_000 }, () => {
  let runtime: FaultyRuntime;
  let other: Awaited<ReturnType<typeof bystander>>;
  let registry: Registry;
  before(async () => {
    registry = await startRegistry();
    await pushCutImage(registry);
    runtime = await startFaulty();
    other = await bystander(runtime.cri);
  });
  after(async () => {
    await runtime?.[Symbol.asyncDispose]();
    await registry?.[Symbol.asyncDispose]();
  });

  /** True when the runtime was killed, false when the call came to its end before that. */
  const cutAt = async (cut: Cut, step: number): Promise<boolean> => {
    const baseline = await settledInventory(runtime.root);
    const subject = await cut.prepare(runtime.cri);
    const prepared = await settledInventory(runtime.root);
    await runtime.arm(step);
    const cutOff = await cut.call(runtime.cri, subject).then(
      () => false,
      () => true, // nothing else makes these calls fail
    );
    if (cutOff) {
      await runtime.gone();
      await runtime.start();
    } else await runtime.counted();
    await other.stands(runtime.cri);
    if (await cut.undone?.(runtime.cri, subject)) await isAs(prepared);
    await cut.after(runtime.cri, subject);
    await other.stands(runtime.cri);
    await isAs(baseline);
    return cutOff;
  };
  const isAs = async (expected: string[]) => {
    await eventually(async () => difference(expected, await inventory(runtime.root)).length === 0, 3000).catch(
      () => undefined, // the comparison says what
    );
    assert.deepEqual(difference(expected, await inventory(runtime.root)), []);
  };

  /** How many steps the call has when nobody interferes. */
  const length = async (cut: Cut): Promise<number> => {
    const subject = await cut.prepare(runtime.cri);
    await runtime.arm(0);
    await cut.call(runtime.cri, subject);
    const steps = await runtime.counted();
    await cut.after(runtime.cri, subject);
    return steps.length;
  };

  const wanted = process.env.HAWSER_FAULTS_CALL;
  for (const cut of [...cuts, ...imageCuts(() => registry)].filter(({ name }) => !wanted || name === wanted)) {
    it(cut.name, async (t) => {
      const steps = await length(cut);
      const chosen = thorough
        ? Array.from({ length: steps }, (_, index) => index + 1)
        : cut.short.map((part) => Math.max(1, Math.round(part * steps)));
      const failures: string[] = [];
      let kills = 0;
      for (const step of chosen) {
        const mark = runtime.output().length;
        try {
          if (await cutAt(cut, step)) kills++;
        } catch (error) {
          const where = /killed at step .*/.exec(runtime.output().slice(mark))?.[0] ?? `at step ${step}, not killed`;
          failures.push(`${where}: ${error instanceof Error ? error.message : error}`);
        }
      }
      t.diagnostic(`${steps} steps, killed ${kills} times`);
      assert.deepEqual(failures, []);
      assert.ok(kills >= Math.floor(chosen.length * 0.8), `killed only ${kills} times of ${chosen.length}`);
    });
  }
});
