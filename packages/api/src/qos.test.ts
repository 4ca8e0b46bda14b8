import assert from "node:assert/strict";
import { test } from "node:test";
import type { PodSpec } from "./core.ts";
import { type QOSClass, qosClass } from "./qos.ts";

type Amounts = Record<string, string>;
const spec = (requests: Amounts, limits: Amounts, more: Partial<PodSpec> = {}): PodSpec => ({
  containers: [{ name: "a", resources: { requests, limits } }],
  ...more,
});

const cases: { name: string; spec: PodSpec; want: QOSClass }[] = [
  { name: "nothing asked", spec: { containers: [{ name: "a" }] }, want: "BestEffort" },
  { name: "zero is nothing", spec: spec({ cpu: "0" }, {}), want: "BestEffort" },
  { name: "limits stand in for requests", spec: spec({}, { cpu: "1", memory: "1Gi" }), want: "Guaranteed" },
  {
    name: "the same in other words",
    spec: spec({ cpu: "1000m", memory: "1024Mi" }, { cpu: "1", memory: "1Gi" }),
    want: "Guaranteed",
  },
  { name: "a request alone", spec: spec({ cpu: "500m" }, {}), want: "Burstable" },
  { name: "less than the limit", spec: spec({ cpu: "1" }, { cpu: "2", memory: "1Gi" }), want: "Burstable" },
  {
    name: "an init container counts",
    spec: spec({}, { cpu: "1", memory: "1Gi" }, { initContainers: [{ name: "i" }] }),
    want: "Burstable",
  },
];
for (const { name, spec, want } of cases) test(`qosClass: ${name}`, () => assert.equal(qosClass(spec), want));

test("qosClass: a quantity that is none is refused", () => {
  assert.throws(() => qosClass(spec({ cpu: "much" }, {})), RangeError);
});
