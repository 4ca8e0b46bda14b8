import assert from "node:assert/strict";
import { test } from "node:test";
import { refuseSELinux } from "./host.ts";

const label = {
  user: "",
  role: "",
  type: "container_t",
  level: "s0:c1,c2",
  $typeName: "runtime.v1.SELinuxOption",
} as const;
const security = { selinuxOptions: label, privileged: false };

test("refuseSELinux: a label says nothing without SELinux", () => refuseSELinux({ selinux: false }, security));

test("refuseSELinux: with it a label is refused by name; what says nothing, or is privileged, is not", () => {
  assert.throws(() => refuseSELinux({ selinux: true }, security), { code: 12, message: /SELinux/ });
  refuseSELinux({ selinux: true }, { ...security, privileged: true });
  refuseSELinux({ selinux: true }, { selinuxOptions: { ...label, type: "", level: "" }, privileged: false });
  refuseSELinux({ selinux: true }, undefined);
});
