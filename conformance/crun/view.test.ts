import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, readlinkSync } from "node:fs";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { Reaper } from "../../packages/runtime/src/native/reaper.ts";
import { openHybridView, unifiedMount } from "../../packages/runtime/src/oci/view.ts";

const skip = existsSync(unifiedMount) ? false : `a hybrid host is needed: ${unifiedMount} is not there`;

// A thread shares its starter's root and working directory, and who shares them cannot change its mount namespace: the
// runtime would end itself on the way back.
test("a thread that was started meanwhile does not keep the runtime from its view", { skip }, async () => {
  const before = readlinkSync("/proc/thread-self/ns/mnt");
  using reaper = new Reaper();
  using view = await openHybridView({ nsenterPath: "/usr/bin/nsenter", hidden: [] });
  const worker = new Worker("setInterval(() => {}, 1000)", { eval: true });
  try {
    await once(worker, "online");
    const command = { path: "/bin/sh", args: ["-c", `[ $(readlink /proc/self/ns/mnt) != '${before}' ]`], stdio: [] };
    for (const mounts of ["lasting", "now"] as const) {
      assert.equal(await (await view.start({ reaper }, command, { mounts })).exited, 0);
    }
    assert.equal(readlinkSync("/proc/thread-self/ns/mnt"), before);
  } finally {
    await worker.terminate();
  }
});
