import assert from "node:assert/strict";
import { test } from "node:test";
import { create, LinuxPodSandboxConfigSchema, NamespaceMode, NamespaceOptionSchema } from "@hawser/cri";
import { clampOOMScore, type Host } from "./host.ts";
import { pauseSpec } from "./pause-spec.ts";

const host: Host = {
  capabilities: new Set(),
  oomScoreAdj: -100,
  rlimits: new Map(),
  hostname: "node",
  cgroup: "v1",
  appArmor: false,
  selinux: false,
  swapAccounting: async () => false,
  hugetlb: false,
  recursiveReadOnly: true,
};
const order = { host, root: "/pause", cgroupsPath: "/p/1", hostname: "pod", netns: "/run/netns/1", linux: undefined };
const withSysctl = (name: string, value = "1", node: { ipc?: boolean; network?: boolean } = {}) => {
  const ipc = node.ipc ? NamespaceMode.NODE : NamespaceMode.POD;
  const linux = create(LinuxPodSandboxConfigSchema, {
    sysctls: { [name]: value },
    securityContext: { namespaceOptions: create(NamespaceOptionSchema, { ipc }) },
  });
  return pauseSpec({ ...order, netns: node.network ? undefined : order.netns, linux });
};

test("pauseSpec: has the pod's namespaces, and no rights", () => {
  const { linux, process, hostname } = pauseSpec(order);
  assert.deepEqual(
    linux.namespaces.map(({ type }) => type),
    ["mount", "network", "uts", "ipc", "pid"],
  );
  assert.deepEqual([process.capabilities?.bounding, process.noNewPrivileges, process.user.uid], [[], true, 65534]);
  assert.equal(hostname, "pod");
});

test("pauseSpec: nothing is made in the root that all pause processes share", () => {
  const { root, mounts } = pauseSpec(order);
  assert.equal(root.readonly, true);
  assert.ok(mounts.some(({ destination, type }) => destination === "/dev" && type === "tmpfs"));
});

test("pauseSpec: leaves the node's namespaces alone where asked", () => {
  const { NODE } = NamespaceMode;
  const namespaceOptions = create(NamespaceOptionSchema, { network: NODE, pid: NODE, ipc: NODE });
  const linux = create(LinuxPodSandboxConfigSchema, { securityContext: { namespaceOptions } });
  const spec = pauseSpec({ ...order, netns: undefined, linux });
  assert.deepEqual(spec.linux.namespaces, [{ type: "mount" }]);
  assert.equal(spec.hostname, undefined);
});

for (const name of ["net.core.somaxconn", "net/ipv4/tcp_syncookies", "kernel.shm_rmid_forced", "fs.mqueue.msg_max"]) {
  test(`pauseSpec: sets ${name}`, () => assert.deepEqual(withSysctl(name).linux.sysctl, { [name]: "1" }));
}

for (const [name, value, node] of [
  ["kernel.core_pattern", "|/x", {}],
  ["kernel.shm_rmid_forced+kernel.core_pattern", "1", {}],
  ["net.core.somaxconn", "1\n2", {}],
  ["net.core.somaxconn", "1", { network: true }],
  ["kernel.shmmax", "1", { ipc: true }],
  ["net../kernel.core_pattern", "1", { network: true }],
  ["net/../kernel/core_pattern", "1", {}],
  ["net..core.somaxconn", "1", {}],
] as const) {
  test(`pauseSpec: refuses ${JSON.stringify({ name, value, node })} (CVE-2022-0811)`, () => {
    assert.throws(() => withSysctl(name, value, node), { code: 3 });
  });
}

test("clampOOMScore: not below our own without CAP_SYS_RESOURCE", () => {
  assert.equal(clampOOMScore(host, -998), -100);
  assert.equal(clampOOMScore(host, 500), 500);
  assert.equal(clampOOMScore(host, 5000), 1000);
  assert.equal(clampOOMScore({ ...host, capabilities: new Set(["CAP_SYS_RESOURCE"]) }, -998), -998);
});
