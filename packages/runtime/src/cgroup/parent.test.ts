import assert from "node:assert/strict";
import { test } from "node:test";
import { cgroupParentPath } from "./parent.ts";

for (const [parent, want] of [
  ["/kubepods/burstable/pod1", "/kubepods/burstable/pod1"],
  ["kubepods/pod1", "/kubepods/pod1"],
  ["/kubepods.slice/kubepods-pod1.slice", "/kubepods.slice/kubepods-pod1.slice"],
  ["system.slice", "/system.slice"],
  ["kubepods-besteffort-pod1_2.slice", "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1_2.slice"],
  ["-.slice", "/"],
] as const) {
  test(`cgroupParentPath: ${parent}`, () => assert.equal(cgroupParentPath(parent), want));
}

for (const parent of ["/a/../../b", "a--b.slice", "-a.slice", "..", "/a\n/b"]) {
  test(`cgroupParentPath: ${JSON.stringify(parent)} is refused`, () => {
    assert.throws(() => cgroupParentPath(parent), { code: 3 });
  });
}
