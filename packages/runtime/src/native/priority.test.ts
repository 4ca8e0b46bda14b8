import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { getPriority } from "node:os";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { isMainThread, parentPort, Worker } from "node:worker_threads";
import { favourThisThread, favourThreadsOfV8 } from "./priority.ts";

/** Prints the nice value it runs at. Source: nice(1) without a command */
const niceOfChild = () => Number(spawnSync("nice").stdout);

/** The nice values of the threads that V8 has for all of this process. */
function nicesOfV8(): number[] {
  const named = (thread: string) => readFileSync(`/proc/self/task/${thread}/comm`, "latin1") === "V8Worker\n";
  return readdirSync("/proc/self/task")
    .filter(named)
    .map((thread) => getPriority(Number(thread)));
}

if (isMainThread) {
  describe("favourThisThread", () => {
    it("raises the thread that asks, not what it starts", async () => {
      const before = getPriority();
      const worker = new Worker(fileURLToPath(import.meta.url));
      try {
        const [{ own, child, ofV8, unfavoured }] = await once(worker, "message");
        assert.ok(own === before || (before === 0 && own === -10), `nice ${own}, ${before} before`);
        assert.equal(child, Math.max(0, before));
        assert.equal(getPriority(), before, "another thread's is as it was");
        assert.ok(ofV8.length > 0, "V8 has threads, and they are called that");
        assert.deepEqual(
          [...unfavoured],
          unfavoured.map(() => before),
        );
        assert.deepEqual(
          [...ofV8],
          ofV8.map(() => own),
        );
      } finally {
        await worker.terminate();
      }
    });
  });
} else {
  favourThreadsOfV8();
  const unfavoured = nicesOfV8();
  const own = favourThisThread();
  favourThreadsOfV8();
  parentPort?.postMessage({ own, child: niceOfChild(), unfavoured, ofV8: nicesOfV8() });
}
