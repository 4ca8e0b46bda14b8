import assert from "node:assert/strict";
import { test } from "node:test";
import type { ContainerStatus, PodSpec } from "@hawser/api";
import { podPhase } from "./phase.ts";

type State = "waiting" | "running" | "ok" | "bad" | "held back";

function status(name: string, state: State): ContainerStatus {
  const ended = (exitCode: number) => ({ terminated: { exitCode } });
  const base = { name, image: "", imageID: "", ready: false, restartCount: 0 };
  if (state === "waiting") return { ...base, state: { waiting: {} } };
  if (state === "running") return { ...base, state: { running: {} } };
  if (state === "held back") return { ...base, state: { waiting: {} }, lastState: ended(1) };
  return { ...base, state: ended(state === "ok" ? 0 : 1) };
}

const cases: [policy: NonNullable<PodSpec["restartPolicy"]>, init: State[], regular: State[], want: string][] = [
  ["Always", [], ["waiting"], "Pending"],
  ["Always", [], ["running"], "Running"],
  ["Always", [], ["running", "waiting"], "Pending"],
  ["Always", [], ["bad"], "Running"],
  ["Always", [], ["held back"], "Running"],
  ["OnFailure", [], ["ok"], "Succeeded"],
  ["OnFailure", [], ["ok", "bad"], "Running"],
  ["Never", [], ["ok", "ok"], "Succeeded"],
  ["Never", [], ["ok", "bad"], "Failed"],
  ["Never", [], ["ok", "running"], "Running"],
  ["Always", ["running"], ["waiting"], "Pending"],
  ["Always", ["held back"], ["waiting"], "Pending"],
  ["Never", ["bad"], ["waiting"], "Failed"],
  ["Never", ["ok"], ["running"], "Running"],
];
for (const [restartPolicy, init, regular, want] of cases) {
  test(`phase: ${restartPolicy}, init [${init}], [${regular}] is ${want}`, () => {
    const names = (states: State[], prefix: string) => states.map((_, index) => ({ name: `${prefix}${index}` }));
    const spec = { restartPolicy, initContainers: names(init, "i"), containers: names(regular, "c") };
    const pod = { metadata: { name: "p", namespace: "d", uid: "u" }, spec };
    const statuses = (states: State[], prefix: string) =>
      states.map((state, index) => status(`${prefix}${index}`, state));
    assert.equal(podPhase(pod, statuses(init, "i"), statuses(regular, "c")), want);
  });
}
