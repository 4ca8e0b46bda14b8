// `kill -9` of the runtime at each step of each call, then another start: nothing is lost, nothing doubled, nothing left.
// Needs root, crun, conmon and the CNI plugins. A few steps here; `make test-faults` takes every one.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { eventually, type Registry, startRegistry } from "@hawser/testing";
import { bystander, type Cut, cuts } from "./support/calls.ts";
import { imageCuts, pushCutImage } from "./support/image-calls.ts";
import { settledInventory, settlesAt } from "./support/inventory.ts";
import { thorough } from "./support/length.ts";
import { type FaultyRuntime, startFaulty } from "./support/runtime-process.ts";

describe("a runtime killed at any step of", { timeout: thorough ? 3_600_000 : 280_000 }, () => {
  let runtime: FaultyRuntime;
  let other: Awaited<ReturnType<typeof bystander>>;
  let registry: Registry;
  const stack = new AsyncDisposableStack();
  before(async () => {
    registry = stack.use(await startRegistry());
    await pushCutImage(registry);
    runtime = stack.use(await startFaulty());
    other = await bystander(runtime.cri);
  });
  after(() => stack.disposeAsync());

  /** At a step, or in the midst. True when the runtime was killed, false when the call came to its end before that. */
  const cutAt = async (cut: Cut, step: number | "midst"): Promise<boolean> => {
    const baseline = await settledInventory(runtime.root);
    const subject = await cut.prepare(runtime.cri);
    const prepared = await settledInventory(runtime.root);
    await runtime.arm(step === "midst" ? 0 : step);
    const call = (step === "midst" && cut.midst?.call) || cut.call;
    const calling = call(runtime.cri, subject).then(
      () => false,
      () => true, // nothing else makes these calls fail
    );
    if (step === "midst") {
      await eventually(async () => cut.midst?.reached());
      await runtime.kill();
    }
    const cutOff = await calling;
    if (cutOff || step === "midst") {
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
  const isAs = (expected: string[]) => settlesAt(runtime.root, expected);

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
        : cut.short.map((part) => Math.round(part * steps)).filter((step) => step > 0);
      const failures: string[] = [];
      let kills = 0;
      const midst = cut.midst ? (["midst"] as const) : [];
      for (const step of [...chosen, ...midst]) {
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
      const least = Math.floor(chosen.length * 0.8) + midst.length;
      assert.ok(kills > 0 && kills >= least, `killed only ${kills} times, and not ${least}`);
    });
  }
});
