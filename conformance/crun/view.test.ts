import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, readlinkSync } from "node:fs";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { openHybridView, unifiedMount } from "../../packages/runtime/src/oci/view.ts";

const skip = existsSync(unifiedMount) ? false : `a hybrid host is needed: ${unifiedMount} is not there`;

// A thread shares its starter's root and working directory, and who shares them cannot change its mount namespace: the
// runtime would end itself on the way back.
test("a thread that was started meanwhile does not keep the runtime from its view", { skip }, async () => {
  const here = () => readlinkSync("/proc/thread-self/ns/mnt");
  const before = here();
  using view = await openHybridView({ nsenterPath: "/usr/bin/nsenter", hidden: [] });
  const worker = new Worker("setInterval(() => {}, 1000)", { eval: true });
  try {
    await once(worker, "online");
    assert.notEqual(view.within(here), before);
    assert.equal(here(), before);
  } finally {
    await worker.terminate();
  }
});
