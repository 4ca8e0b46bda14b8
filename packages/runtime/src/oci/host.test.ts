import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { hasHugetlb, refuseSELinux, swapAccountingOf } from "./host.ts";

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

/** A folder that looks like cgroups: empty files of these names. */
async function cgroups(...files: string[]) {
  const mount = await mkdtemp(path.join(tmpdir(), "hawser-host-"));
  const add = async (file: string, text = "") => {
    await mkdir(path.dirname(path.join(mount, file)), { recursive: true });
    await writeFile(path.join(mount, file), text);
  };
  for (const file of files) await add(file);
  return { mount, add, [Symbol.asyncDispose]: () => rm(mount, { recursive: true }) };
}

test("swapAccountingOf: on v2 not before a cgroup has the memory controller, and from then on", async () => {
  await using fresh = await cgroups("cgroup.controllers", "init/cgroup.procs");
  const asked = swapAccountingOf("v2", fresh.mount);
  assert.equal(await asked(), false);
  await fresh.add("kubepods/memory.swap.max");
  assert.equal(await asked(), true);
  await rm(path.join(fresh.mount, "kubepods"), { recursive: true });
  assert.equal(await asked(), true, "what the kernel counts it goes on counting");
});

test("swapAccountingOf: in a cgroup namespace the root has the file; on v1 the hierarchy's root", async () => {
  await using inside = await cgroups("memory.swap.max");
  assert.equal(await swapAccountingOf("v2", inside.mount)(), true);
  await using v1 = await cgroups("memory/memory.memsw.limit_in_bytes");
  assert.equal(await swapAccountingOf("v1", v1.mount)(), true);
  assert.equal(await swapAccountingOf("v1", inside.mount)(), false);
});

test("hasHugetlb: by the hierarchy on v1, by the list of controllers on v2", async () => {
  await using v1 = await cgroups("hugetlb/tasks");
  assert.deepEqual([await hasHugetlb("v1", v1.mount), await hasHugetlb("v2", v1.mount)], [true, false]);
  await using v2 = await cgroups();
  await v2.add("cgroup.controllers", "cpu hugetlb memory\n");
  assert.deepEqual([await hasHugetlb("v1", v2.mount), await hasHugetlb("v2", v2.mount)], [false, true]);
  await v2.add("cgroup.controllers", "cpu hugetlbs\n");
  assert.equal(await hasHugetlb("v2", v2.mount), false);
});
