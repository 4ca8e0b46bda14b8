import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { checkPassable } from "./sandbox-users.ts";

test("checkPassable: names the folder that a pod's own users cannot pass", async (t) => {
  const above = await mkdtemp(path.join(tmpdir(), "passable-")); // made for its owner alone
  t.after(() => rm(above, { recursive: true }));
  const root = path.join(above, "runtime");
  await mkdir(root, { mode: 0o711 });
  await assert.rejects(checkPassable(root), {
    message: `user namespace: its users cannot pass ${above}; chmod o+x ${above}, or keep the runtime's data elsewhere`,
  });
  await chmod(above, 0o711);
  await checkPassable(root);
});
