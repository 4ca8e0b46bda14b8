import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { getPriority } from "node:os";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { isMainThread, parentPort, Worker } from "node:worker_threads";
import { favourThisThread } from "./priority.ts";

/** Prints the nice value it runs at. Source: nice(1) without a command */
const niceOfChild = () => Number(spawnSync("nice").stdout);

if (isMainThread) {
  describe("favourThisThread", () => {
    it("raises the thread that asks, not what it starts", async () => {
      const before = getPriority();
      const worker = new Worker(fileURLToPath(import.meta.url));
      try {
        const [{ own, child }] = await once(worker, "message");
        assert.ok(own === before || (before === 0 && own === -10), `nice ${own}, ${before} before`);
        assert.equal(child, Math.max(0, before));
        assert.equal(getPriority(), before, "another thread's is as it was");
      } finally {
        await worker.terminate();
      }
    });
  });
} else parentPort?.postMessage({ own: favourThisThread(), child: niceOfChild() });
