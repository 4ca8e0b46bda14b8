import assert from "node:assert/strict";
import { mkdir, mkdtemp, realpath, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { create, MountPropagation, MountSchema } from "@hawser/cri";
import { baseMounts, mergeMounts, requestedMounts } from "./spec-mounts.ts";

const host = { recursiveReadOnly: true };
const base = baseMounts({
  privileged: false,
  cgroup: "v1",
  shm: "/pod/shm",
  files: { "/etc/hosts": "/pod/hosts" },
  readonlyRootfs: true,
});

test("mergeMounts: a requested mount takes the place of ours, and parents come first", () => {
  const mine = { destination: "/etc/hosts/", type: "bind", source: "/kubelet/hosts", options: [] };
  const deep = { destination: "/a/b/c", type: "bind", source: "/deep", options: [] };
  const shallow = { destination: "/a", type: "bind", source: "/shallow", options: [] };
  const merged = mergeMounts(base, [deep, mine, shallow]);
  const order = merged.map(({ destination }) => destination);
  assert.ok(order.indexOf("/a") < order.indexOf("/a/b/c"));
  assert.ok(order.indexOf("/proc") < order.indexOf("/a"), "ours before theirs at the same depth");
  assert.deepEqual(
    merged.filter(({ destination }) => destination.startsWith("/etc/hosts")),
    [mine],
  );
});

test("baseMounts: the kernel's file systems are read-only but for the privileged", () => {
  const options = (privileged: boolean, at: string) =>
    baseMounts({ privileged, cgroup: "v1", shm: "/s", files: {}, readonlyRootfs: false }).find(
      ({ destination }) => destination === at,
    )?.options;
  for (const at of ["/sys", "/sys/fs/cgroup"]) {
    assert.ok(options(false, at)?.includes("ro"));
    assert.ok(options(true, at)?.includes("rw"));
  }
});

test("requestedMounts: links are resolved, missing paths made, propagation handed on", async () => {
  const directory = await realpath(await mkdtemp(path.join(tmpdir(), "hawser-mounts-")));
  try {
    await mkdir(path.join(directory, "real"));
    await symlink(path.join(directory, "real"), path.join(directory, "link"));
    const mount = (hostPath: string, more = {}) => create(MountSchema, { containerPath: "/x", hostPath, ...more });
    const linked = await requestedMounts(host, [mount(path.join(directory, "link"), { readonly: true })]);
    assert.equal(linked.mounts[0]?.source, path.join(directory, "real"));
    assert.deepEqual(linked.mounts[0]?.options, ["rbind", "ro", "rprivate"]);
    assert.equal(linked.records[0]?.hostPath, path.join(directory, "link"));
    const fresh = await requestedMounts(host, [mount(path.join(directory, "a/b"))]);
    assert.equal(fresh.mounts[0]?.source, path.join(directory, "a/b"));
    const both = await requestedMounts(host, [
      mount(directory, { propagation: MountPropagation.PROPAGATION_HOST_TO_CONTAINER }),
      mount(directory, { propagation: MountPropagation.PROPAGATION_BIDIRECTIONAL }),
    ]);
    assert.equal(both.rootfsPropagation, "rshared");
    assert.deepEqual(
      both.mounts.map(({ options }) => options.at(-1)),
      ["rslave", "rshared"],
    );
  } finally {
    await rm(directory, { recursive: true });
  }
});

for (const [name, mount, code] of [
  ["a relative path on the node", { hostPath: "a", containerPath: "/b" }, 3],
  ["a relative path in the container", { hostPath: "/a", containerPath: "b" }, 3],
  ["an image as a volume", { containerPath: "/b", image: { image: "i" } }, 12],
  ["recursive read-only that is not read-only", { hostPath: "/", containerPath: "/b", recursiveReadOnly: true }, 3],
] as const) {
  test(`requestedMounts: ${name} is refused`, async () => {
    await assert.rejects(requestedMounts(host, [create(MountSchema, mount as never)]), { code });
  });
}

test("requestedMounts: recursive read-only is refused by name where the kernel cannot", async () => {
  const mount = { hostPath: "/", containerPath: "/b", readonly: true, recursiveReadOnly: true };
  const { mounts } = await requestedMounts(host, [create(MountSchema, mount)]);
  assert.deepEqual(mounts[0]?.options, ["rbind", "rro", "rprivate"]);
  const refused = { code: 9, message: /recursive read-only needs mount_setattr/ };
  await assert.rejects(requestedMounts({ recursiveReadOnly: false }, [create(MountSchema, mount)]), refused);
});
