import assert from "node:assert/strict";
import { test } from "node:test";
import type { Container, PodSpec } from "@hawser/api";
import { ContainerState, ContainerStatusSchema, create, PodSandboxState, PodSandboxStatusSchema } from "@hawser/cri";
import { containerHash } from "./labels.ts";
import { type Plan, plan } from "./plan.ts";
import type { BoundPod } from "./pod.ts";
import type { PodView, ViewContainer } from "./view.ts";

const { CONTAINER_RUNNING: running, CONTAINER_EXITED: exited, CONTAINER_CREATED: created } = ContainerState;
const healthy = { startupPassed: () => true, failed: () => undefined };

function pod(spec: Partial<PodSpec>): BoundPod {
  return {
    metadata: { name: "p", namespace: "d", uid: "u" },
    spec: { containers: [{ name: "a", image: "i" }], ...spec },
  };
}

type Entry = [
  name: string,
  state: ContainerState,
  exitCode?: number,
  more?: { attempt?: number; sandbox?: string; image?: string },
];

function view(sandbox: "up" | "down" | "none", entries: Entry[] = []): PodView {
  const containers = new Map<string, ViewContainer[]>();
  for (const [name, state, exitCode = 0, { attempt = 0, sandbox: sandboxId = "s", image = "i" } = {}] of entries) {
    const annotations = { "io.kubernetes.container.hash": containerHash({ name, image } as Container) };
    const status = create(ContainerStatusSchema, {
      id: `${name}${attempt}`,
      metadata: { name, attempt },
      state,
      exitCode,
      annotations,
    });
    containers.set(name, [{ status, sandboxId }, ...(containers.get(name) ?? [])]);
  }
  const state = sandbox === "up" ? PodSandboxState.SANDBOX_READY : PodSandboxState.SANDBOX_NOTREADY;
  const sandboxes =
    sandbox === "none" ? [] : [create(PodSandboxStatusSchema, { id: "s", state, metadata: { attempt: 2 } })];
  return { sandboxes, containers };
}

/** `start a#1, kill b` or the plan's type. */
function text(found: Plan): string {
  if (found.type === "finish") return "finish";
  if (found.type === "sandbox") return `sandbox#${found.attempt}`;
  const kills = found.kill.map(({ name }) => `kill ${name}`);
  return [...kills, ...found.start.map(({ what, attempt }) => `start ${what.container.name}#${attempt}`)].join(", ");
}

const init = {
  initContainers: [
    { name: "i1", image: "i" },
    { name: "i2", image: "i" },
  ],
};
const sidecar = { initContainers: [{ name: "side", image: "i", restartPolicy: "Always" as const }] };
const cases: { name: string; spec?: Partial<PodSpec>; view: PodView; verdicts?: typeof healthy; want: string }[] = [
  { name: "nothing there", view: view("none"), want: "sandbox#0" },
  { name: "sandbox up", view: view("up"), want: "start a#0" },
  { name: "all runs", view: view("up", [["a", running]]), want: "" },
  { name: "sandbox down", view: view("down", [["a", exited, 1]]), want: "sandbox#3" },
  {
    name: "sandbox down, Never",
    spec: { restartPolicy: "Never" },
    view: view("down", [["a", exited, 1]]),
    want: "finish",
  },
  { name: "exited, Always", view: view("up", [["a", exited, 0]]), want: "start a#1" },
  {
    name: "exited 0, OnFailure",
    spec: { restartPolicy: "OnFailure" },
    view: view("up", [["a", exited, 0]]),
    want: "finish",
  },
  {
    name: "exited 1, OnFailure",
    spec: { restartPolicy: "OnFailure" },
    view: view("up", [["a", exited, 1]]),
    want: "start a#1",
  },
  { name: "exited 1, Never", spec: { restartPolicy: "Never" }, view: view("up", [["a", exited, 1]]), want: "finish" },
  { name: "only created", view: view("up", [["a", created]]), want: "start a#1" },
  {
    name: "in an old sandbox, OnFailure, was good",
    spec: {
      restartPolicy: "OnFailure",
      containers: [
        { name: "a", image: "i" },
        { name: "b", image: "i" },
      ],
    },
    view: view("up", [
      ["a", exited, 0, { sandbox: "old" }],
      ["b", exited, 1, { sandbox: "old" }],
    ]),
    want: "start b#1",
  },
  { name: "another image", view: view("up", [["a", running, 0, { image: "old" }]]), want: "kill a" },
  {
    name: "liveness failed",
    view: view("up", [["a", running]]),
    verdicts: { startupPassed: () => true, failed: (() => "liveness") as never },
    want: "kill a",
  },
  { name: "first init", spec: init, view: view("up"), want: "start i1#0" },
  { name: "init runs", spec: init, view: view("up", [["i1", running]]), want: "" },
  { name: "second init", spec: init, view: view("up", [["i1", exited, 0]]), want: "start i2#0" },
  { name: "init failed, Always", spec: init, view: view("up", [["i1", exited, 1]]), want: "start i1#1" },
  {
    name: "init failed, Never",
    spec: { ...init, restartPolicy: "Never" },
    view: view("up", [["i1", exited, 1]]),
    want: "finish",
  },
  {
    name: "init done",
    spec: init,
    view: view("up", [
      ["i1", exited, 0],
      ["i2", exited, 0],
    ]),
    want: "start a#0",
  },
  {
    name: "init is not repeated",
    spec: init,
    view: view("up", [
      ["i1", exited, 0],
      ["i2", exited, 0],
      ["a", running],
    ]),
    want: "",
  },
  {
    name: "init anew in a new sandbox",
    spec: init,
    view: view("up", [
      ["i1", exited, 0, { sandbox: "old" }],
      ["a", exited, 1, { sandbox: "old" }],
    ]),
    want: "start i1#1",
  },
  { name: "sidecar first", spec: sidecar, view: view("up"), want: "start side#0" },
  { name: "sidecar up", spec: sidecar, view: view("up", [["side", running]]), want: "start a#0" },
  {
    name: "sidecar ended",
    spec: sidecar,
    view: view("up", [
      ["side", exited, 0],
      ["a", running],
    ]),
    want: "start side#1",
  },
  {
    name: "sidecar not started yet",
    spec: sidecar,
    view: view("up", [["side", running]]),
    verdicts: { startupPassed: () => false, failed: () => undefined },
    want: "",
  },
  {
    name: "ephemeral once",
    spec: { ephemeralContainers: [{ name: "dbg", image: "i" }] },
    view: view("up", [["a", running]]),
    want: "start dbg#0",
  },
  {
    name: "ephemeral not again",
    spec: { ephemeralContainers: [{ name: "dbg", image: "i" }] },
    view: view("up", [
      ["a", running],
      ["dbg", exited, 0],
    ]),
    want: "",
  },
];
for (const { name, spec = {}, view: seen, verdicts = healthy, want } of cases) {
  test(`plan: ${name}`, () => assert.equal(text(plan(pod(spec), seen, verdicts)), want));
}
