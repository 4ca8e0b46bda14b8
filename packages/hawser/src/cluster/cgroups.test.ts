import assert from "node:assert/strict";
import { test } from "node:test";
import { cgroupRoot, hierarchies, sliceOfRoot } from "./cgroups.ts";
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
