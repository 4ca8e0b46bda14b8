// `kill -9` of the runtime while systemd makes or ends a pod's slice and its scopes, then another start: `make test-systemd`.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { eventually } from "@hawser/testing";
import { sandboxConfig } from "../crun/support/runtime.ts";
import { bystander, type Cut, cuts } from "../faults/support/calls.ts";
import { difference } from "../faults/support/inventory.ts";
import { type FaultyRuntime, startFaulty } from "../faults/support/runtime-process.ts";
import { cgroupsWith, endKubepods, gone, notBooted, units } from "./support/units.ts";

/** The calls in which systemd has a part, and where they are cut off. */
const kills: { call: string; at: RegExp; while: string }[] = [
  { call: "RunPodSandbox", at: /^started .*\bcrun$/, while: "crun asks for the pod's scope" },
  { call: "RunPodSandbox", at: /^before rename .*\bstate\.json/, while: "scope and slice are there, and no record" },
  { call: "CreateContainer", at: /^started .*\bbusctl$/, while: "conmon is given its scope" },
  { call: "StopContainer", at: /^after rename .*\bstate\.json/, while: "the container's scope has ended" },
  { call: "RemovePodSandbox", at: /^before start .*\bsystemctl$/, while: "the slice is not stopped yet" },
  { call: "RemovePodSandbox", at: /^started .*\bsystemctl$/, while: "the slice is stopped" },
];

describe("a runtime with systemd's cgroups that is killed in", { timeout: 240_000, skip: notBooted }, () => {
  let runtime: FaultyRuntime;
  let other: Awaited<ReturnType<typeof bystander>>;
  before(async () => {
    runtime = await startFaulty({ config: { cgroupDriver: "systemd" } });
    other = await bystander(runtime.cri);
  });
  after(() => runtime?.[Symbol.asyncDispose]());

  /** All that there is of this runtime's in systemd's eyes, and as cgroups. */
  const all = async () => {
    const hash = createHash("sha256").update(runtime.root).digest("hex").slice(0, 8);
    const known = await units("hawser-*.scope", `hawser_${hash}*`);
    return [...known, ...(await cgroupsWith(`/hawser_${hash}`))];
  };
  /** That, once the groups of execs that were answered are gone: an exec is answered before. */
  const inventory = async () => {
    let found: string[] = [];
    await eventually(async () => {
      found = await all();
      return !found.some((place) => place.includes("/hawser-exec-"));
    });
    return found;
  };
  const isAs = async (expected: string[]) => {
    const changes = async () => difference(expected, await inventory());
    await eventually(async () => (await changes()).length === 0).catch(() => undefined); // the comparison says what
    assert.deepEqual(await changes(), []);
  };

  for (const { call, at, while: meanwhile } of kills) {
    it(`${call} while ${meanwhile} is followed by one that takes the slice away`, async () => {
      const cut = cuts.find(({ name }) => name === call) as Cut;
      const before = await inventory();
      const subject = await cut.prepare(runtime.cri);
      const prepared = await inventory();
      await runtime.arm(at);
      const mark = runtime.output().length;
      const outcome = await cut.call(runtime.cri, subject).then(
        () => "done",
        (error: unknown) => error,
      );
      if (outcome === "done") assert.fail(`not killed at any of ${(await runtime.counted()).join(", ")}`);
      await runtime.gone();
      assert.match(runtime.output().slice(mark), /killed at step/);
      await runtime.start();
      await other.stands(runtime.cri);
      if (await cut.undone?.(runtime.cri, subject)) await isAs(prepared);
      await cut.after(runtime.cri, subject);
      await isAs(before);
    });
  }

  it("RunPodSandbox, for good: what takes everything away ends the pod that was in the making", async () => {
    const cgroupParent = "kubepods-podhalf.slice";
    await runtime.arm(/^before rename .*\bstate\.json/);
    const config = sandboxConfig({ linux: { cgroupParent } });
    await assert.rejects(runtime.cri.runtime.runPodSandbox({ config }));
    await runtime.gone();
    assert.deepEqual(await units(cgroupParent), [cgroupParent]);
    await runtime[Symbol.asyncDispose]();
    await isAs([]);
    await gone(cgroupParent);
    assert.deepEqual(await cgroupsWith(`/${cgroupParent}`), []);
    await endKubepods();
  });
});
