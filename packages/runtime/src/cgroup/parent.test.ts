import assert from "node:assert/strict";
import { test } from "node:test";
import { newId } from "../server/sandbox-name.ts";
import {
  cgroupBelow,
  cgroupParentPath,
  checkPodSlices,
  containerCgroup,
  fromOCICgroupsPath,
  ociCgroupsPath,
  podCgroupOf,
  podSlice,
  scopeAnnotations,
  sliceBelow,
} from "./parent.ts";

for (const [driver, parent, want] of [
  ["cgroupfs", "/kubepods/burstable/pod1", "/kubepods/burstable/pod1"],
  ["cgroupfs", "kubepods/pod1", "/kubepods/pod1"],
  ["cgroupfs", "/kubepods/pod1/", "/kubepods/pod1"],
  ["cgroupfs", "//kubepods/./pod1/.//", "/kubepods/pod1"],
  ["cgroupfs", "/", "/"],
  ["cgroupfs", "/system.slice/hawser.service/pod1", "/system.slice/hawser.service/pod1"],
  ["systemd", "system.slice", "/system.slice"],
  [
    "systemd",
    "kubepods-besteffort-pod1_2.slice",
    "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1_2.slice",
  ],
  ["systemd", "/kubepods.slice/kubepods-pod1.slice", "/kubepods.slice/kubepods-pod1.slice"],
  ["systemd", "/kubepods.slice//kubepods-pod1.slice/", "/kubepods.slice/kubepods-pod1.slice"],
  ["systemd", "/elsewhere/kubepods-pod1.slice", "/kubepods.slice/kubepods-pod1.slice"],
] as const) {
  test(`cgroupParentPath: ${driver}, ${parent}`, () => assert.equal(cgroupParentPath(parent, driver), want));
}

for (const [driver, parent, message] of [
  ["cgroupfs", "/a/../../b", /is none/],
  ["cgroupfs", "..", /is none/],
  ["cgroupfs", "/a\n/b", /is none/],
  ["cgroupfs", "kubepods-pod1.slice", /configured with cgroupfs cgroup driver, but received systemd slice as parent/],
  ["cgroupfs", "/kubepods.slice/kubepods-pod1.slice", /received systemd slice as parent/],
  ["cgroupfs", "/kubepods.slice/./", /received systemd slice as parent/],
  ["systemd", "/kubepods/pod1", /configured with systemd cgroup driver, but did not receive slice as parent/],
  ["systemd", "/a.slice/pod1", /did not receive slice as parent/],
  ["systemd", "/../a.slice", /is none/],
  ["systemd", "a--b.slice", /no slice that pods can be in/],
  ["systemd", "-a.slice", /no slice/],
  ["systemd", "-.slice", /no slice/],
  ["systemd", ".slice", /no slice/],
  ["systemd", "a:b.slice", /no slice/],
  ["systemd", `${"a".repeat(250)}.slice`, /no slice/],
] as const) {
  test(`cgroupParentPath: ${driver}, ${JSON.stringify(parent).slice(0, 60)} is refused`, () => {
    assert.throws(() => cgroupParentPath(parent, driver), { code: 3, message });
  });
}

for (const [parent, oci, cgroup] of [
  ["/a/pod1", "crun", "/a/pod1/id"],
  ["/a.slice", "runc", "/a.slice/hawser-id.scope"],
  ["/a.slice", "crun", "/a.slice/hawser-id.scope/container"],
] as const) {
  test(`where a container's limits are: ${parent}, ${oci}`, () => {
    assert.equal(containerCgroup(parent, { id: "id", oci }), cgroup);
    assert.equal(podCgroupOf(cgroup), parent);
  });
}

for (const [parent, cgroup, told] of [
  ["/kubepods/pod1", "/kubepods/pod1/id", "/kubepods/pod1/id"],
  ["/a.slice/a-b.slice", "/a.slice/a-b.slice/hawser-id.scope", "a-b.slice:hawser:id"],
  ["/x.slice:hawser:foo", "/x.slice:hawser:foo/id", "/x.slice:hawser:foo/id"],
] as const) {
  test(`a container's cgroup, and what the OCI runtime is told: ${parent}`, () => {
    assert.equal(cgroupBelow(parent, "id"), cgroup);
    assert.equal(ociCgroupsPath(parent, "id"), told);
    assert.deepEqual(fromOCICgroupsPath(told), { parent, cgroup }, "and back");
  });
}

test("podSlice: its name is one that a unit may have, as long as checkPodSlices takes its parent", () => {
  const [longest, tooLong] = [181, 182].map((bytes) => `/${"a".repeat(bytes)}.slice`);
  assert.ok(longest && tooLong);
  checkPodSlices(longest);
  const [, name] = podSlice(longest, newId()).split("/").slice(1);
  assert.equal(name?.length, 255);
  assert.throws(() => checkPodSlices(tooLong), { code: 3, message: /is too long: .* more than 255 bytes/ });
});

test("sliceBelow", () => assert.equal(sliceBelow("/a.slice/a-b.slice", "c"), "/a.slice/a-b.slice/a-b-c.slice"));

test("scopeAnnotations: for scopes alone", () => {
  assert.deepEqual(scopeAnnotations("/kubepods/pod1/id"), {});
  assert.deepEqual(scopeAnnotations("a-b.slice:hawser:id"), {
    annotations: {
      "run.oci.systemd.subgroup": "container",
      "org.systemd.property.CollectMode": "'inactive-or-failed'",
    },
  });
});
