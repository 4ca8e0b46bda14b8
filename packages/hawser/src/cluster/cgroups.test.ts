import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { cgroupRoot, hierarchies, removeSlices, sliceOfRoot } from "./cgroups.ts";
import { clusterPaths, defaultDataDir } from "./paths.ts";

test("a cluster's cgroup, and its slice: of its own, and below no other's", () => {
  const usual = cgroupRoot(clusterPaths(defaultDataDir));
  assert.deepEqual([usual, sliceOfRoot(usual)], ["/hawser", "hawser.slice"]);
  const other = cgroupRoot(clusterPaths("/srv/other"));
  assert.match(other, /^\/hawser-[0-9a-f]{8}$/);
  assert.equal(
    sliceOfRoot(other),
    `${other.slice(1).replace("-", "_")}.slice`,
    "with a dash it would be below the first",
  );
});

test("hierarchies: of both versions, and nothing else that is mounted", () => {
  const lines = [
    "25 20 0:22 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755",
    "26 25 0:23 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate",
    "27 25 0:24 / /sys/fs/cgroup/systemd rw,nosuid - cgroup cgroup rw,xattr,name=systemd",
    "",
  ];
  assert.deepEqual(hierarchies(lines.join("\n")), ["/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd"]);
});

for (const [what, foreign, want] of [
  ["go, the pods' first", undefined, { stopped: ["hawser-kubepods.slice", "hawser.slice"], left: [] }],
  [
    "go, but for the one that an operator's unit is in",
    "hawser-backup.slice",
    { stopped: ["hawser-kubepods.slice"], left: ["hawser.slice"] },
  ],
] as const) {
  test(`removeSlices: the cluster's slices ${what}`, async () => {
    const folder = await mkdtemp(join(tmpdir(), "hawser-slices-"));
    try {
      const mounts = ["systemd", "memory"].map((name) => join(folder, name));
      await mkdir(join(folder, "systemd/hawser.slice/hawser-kubepods.slice/hawser-kubepods-burstable.slice"), {
        recursive: true,
      });
      await mkdir(join(folder, "memory/hawser.slice"), { recursive: true });
      if (foreign) await mkdir(join(folder, "systemd/hawser.slice", foreign, "backup.service"), { recursive: true });
      const stopped: string[] = [];
      const stop = async (slice: string) => void stopped.push(slice);
      await removeSlices({ stop }, { mounts, slice: "hawser.slice" });
      assert.deepEqual({ stopped, left: await readdir(join(folder, "systemd")) }, want);
      if (foreign)
        assert.deepEqual(await readdir(join(folder, "systemd/hawser.slice"), { recursive: true }), [
          foreign,
          `${foreign}/backup.service`,
        ]);
      stopped.length = 0;
      await removeSlices({ stop }, { mounts, slice: "hawser.slice" });
      assert.deepEqual(stopped, [], "a second time there is nothing to do");
    } finally {
      await rm(folder, { recursive: true });
    }
  });
}
