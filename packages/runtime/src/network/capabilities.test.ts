import assert from "node:assert/strict";
import { test } from "node:test";
import { create, PodSandboxConfigSchema } from "@hawser/cri";
import { capabilitiesOf } from "./capabilities.ts";

const of = (annotations: Record<string, string>, wanted: string[], more = {}) =>
  capabilitiesOf(
    {
      name: "n",
      cniVersion: "1.0.0",
      plugins: [{ type: "a" }, { type: "b", capabilities: Object.fromEntries(wanted.map((name) => [name, true])) }],
    },
    create(PodSandboxConfigSchema, { annotations, ...more }),
    [{ protocol: "tcp", containerPort: 80, hostPort: 8080, hostIP: "" }],
  );

const ingress = "kubernetes.io/ingress-bandwidth";
for (const [text, rate] of [
  ["1k", 1000],
  ["1M", 1e6],
  ["1.5M", 1.5e6],
  ["2Ki", 2048],
  ["1Ti", 2 ** 40],
  ["1P", 1e15],
  ["1e6", 1e6],
  ["1000000", 1e6],
  ["1000500m", 1001],
] as const) {
  test(`a bandwidth of ${text}`, () => {
    assert.deepEqual(of({ [ingress]: text }, ["bandwidth"]), {
      bandwidth: { ingressRate: rate, ingressBurst: 4294967295 },
    });
  });
}

for (const text of ["", "fast", "1K", "999", "2P", "1E", "-1M", "1 M", "1e", "0x10", "NaN"]) {
  test(`a bandwidth of ${JSON.stringify(text)} is refused`, () => {
    assert.throws(() => of({ [ingress]: text }, []), { name: "CRIError", code: 3, message: /ingress-bandwidth/ });
  });
}

test("a network is told what its plugins ask for, where there is any", () => {
  const annotations = { "kubernetes.io/egress-bandwidth": "1M" };
  const more = { dnsConfig: { servers: ["10.0.0.10"] }, linux: { cgroupParent: "/kubepods/x" } };
  assert.deepEqual(of(annotations, [], more), {});
  assert.deepEqual(of(annotations, ["bandwidth", "dns", "cgroupPath", "mac"], more), {
    bandwidth: { egressRate: 1e6, egressBurst: 4294967295 },
    dns: { servers: ["10.0.0.10"], searches: [], options: [] },
    cgroupPath: "/kubepods/x",
  });
  assert.deepEqual(Object.keys(of({}, ["portMappings", "bandwidth", "dns", "cgroupPath"])), ["portMappings"]);
});
