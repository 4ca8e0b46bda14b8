import assert from "node:assert/strict";
import { test } from "node:test";
import { reject } from "./admission.ts";
import { type BoundPod, boundPod } from "./pod.ts";

function pod(spec: Partial<BoundPod["spec"]>): BoundPod {
  const bound = boundPod({
    metadata: { name: "web", namespace: "default", uid: "u" },
    spec: { nodeName: "node", containers: [{ name: "c", image: "i" }], ...spec },
  });
  assert.ok(bound);
  return bound;
}
const node = { active: 0, maxPods: 1, appArmor: false };

test("reject: a pod too many", () => {
  assert.equal(reject(pod({}), { ...node, active: 1 })?.reason, "OutOfpods");
  assert.equal(reject(pod({}), node), undefined);
});

test("reject: an AppArmor profile where the kernel has no AppArmor, in the kubelet's words", () => {
  const localhost = { appArmorProfile: { type: "Localhost", localhostProfile: "mine" } };
  const want = { reason: "AppArmor", message: "Cannot enforce AppArmor: AppArmor is not enabled on the host" };
  const asking = [
    { securityContext: { appArmorProfile: { type: "RuntimeDefault" } } },
    { containers: [{ name: "c", image: "i", securityContext: localhost }] },
    { initContainers: [{ name: "i", image: "i", securityContext: localhost }] },
  ];
  for (const spec of asking) {
    assert.deepEqual(reject(pod(spec), node), want);
    assert.equal(reject(pod(spec), { ...node, appArmor: true }), undefined);
  }
  assert.equal(reject(pod({ securityContext: { appArmorProfile: { type: "Unconfined" } } }), node), undefined);
});

test("reject: what is not supported, by name", () => {
  assert.match(reject(pod({ hostUsers: false }), node)?.message ?? "", /spec\.hostUsers: false/);
});
