import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { it } from "node:test";
import { killAll, pidsBelow, removeTree } from "./tree.ts";

it("a cgroup that can never be has no processes, and is as good as removed", async () => {
  const folder = await mkdtemp(path.join(tmpdir(), "hawser-cgroup-"));
  try {
    await writeFile(path.join(folder, "tasks"), "");
    // A pod's parent may be called as a cgroup's own file is, or anything else.
    for (const name of ["none", "tasks/pod", "n".repeat(256), "n/".repeat(2100)]) {
      const group = path.join(folder, name);
      await killAll(group);
      assert.deepEqual(await pidsBelow(group), []);
      await removeTree(group);
    }
  } finally {
    await rm(folder, { recursive: true });
  }
});
