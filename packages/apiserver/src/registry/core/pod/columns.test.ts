import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "@hawser/api";
import { podColumns } from "./columns.ts";

const now = new Date("2020-01-01T00:10:00Z");
const row = (pod: object) =>
  podColumns
    .slice(0, 4)
    .map((column) => column.cell(pod as Pod, now))
    .join(" | ");
const state = (name: string, more: object) => ({ name, ready: false, restartCount: 0, ...more });
const spec = { containers: [{ name: "a" }, { name: "b" }] };
const base = { metadata: { name: "p" }, spec };

const cases: { name: string; pod: object; want: string }[] = [
  { name: "new", pod: { ...base, status: { phase: "Pending" } }, want: "p | 0/2 | Pending | 0" },
  {
    name: "one of two ready, restarted",
    pod: {
      ...base,
      status: {
        phase: "Running",
        containerStatuses: [
          state("a", {
            ready: true,
            restartCount: 3,
            state: { running: {} },
            lastState: { terminated: { finishedAt: "2020-01-01T00:05:00Z", exitCode: 1 } },
          }),
          state("b", { state: { waiting: { reason: "CrashLoopBackOff" } } }),
        ],
      },
    },
    want: "p | 1/2 | CrashLoopBackOff | 3 (5m ago)",
  },
  {
    name: "ended by a signal",
    pod: {
      ...base,
      status: {
        phase: "Failed",
        containerStatuses: [state("a", { state: { terminated: { exitCode: 137, signal: 9 } } })],
      },
    },
    want: "p | 0/2 | Signal:9 | 0",
  },
  {
    name: "one completed, the other runs, not ready",
    pod: {
      ...base,
      status: {
        phase: "Running",
        containerStatuses: [
          state("a", { state: { terminated: { exitCode: 0, reason: "Completed" } } }),
          state("b", { ready: true, state: { running: {} } }),
        ],
      },
    },
    want: "p | 1/2 | NotReady | 0",
  },
  {
    name: "init container failing",
    pod: {
      ...base,
      spec: { ...spec, initContainers: [{ name: "i" }] },
      status: {
        phase: "Pending",
        initContainerStatuses: [state("i", { restartCount: 1, state: { waiting: { reason: "CrashLoopBackOff" } } })],
      },
    },
    want: "p | 0/2 | Init:CrashLoopBackOff | 1",
  },
  {
    name: "second init container running",
    pod: {
      ...base,
      spec: { ...spec, initContainers: [{ name: "i" }, { name: "j" }] },
      status: {
        phase: "Pending",
        initContainerStatuses: [
          state("i", { state: { terminated: { exitCode: 0 } } }),
          state("j", { state: { running: {} } }),
        ],
      },
    },
    want: "p | 0/2 | Init:1/2 | 0",
  },
  {
    name: "terminating",
    pod: { ...base, metadata: { name: "p", deletionTimestamp: "2020-01-01T00:00:00Z" }, status: { phase: "Running" } },
    want: "p | 0/2 | Terminating | 0",
  },
  {
    name: "evicted",
    pod: { ...base, status: { phase: "Failed", reason: "Evicted" } },
    want: "p | 0/2 | Evicted | 0",
  },
];
for (const { name, pod, want } of cases) test(`pod columns: ${name}`, () => assert.equal(row(pod), want));
