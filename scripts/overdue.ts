// Loaded into the process of every test file: one that is not over in time says what keeps it, and ends. Without this a test that failed with a server still
// open, or a child still running, would hold the whole run for ever: node:test bounds tests and hooks, not their files.
import { readdirSync, readFileSync, writeSync } from "node:fs";
import { after } from "node:test";
import { isMainThread } from "node:worker_threads";

/** Milliseconds for one file, as scripts/test.ts says. */
const limit = Number(process.env.HAWSER_FILE_TIMEOUT);
/** Milliseconds that its process may still be there when the last of its tests is over. The file's own hooks after them run in this time: ours is the first. */
const grace = 180_000;

if (process.env.NODE_TEST_CONTEXT && isMainThread && limit > 0) {
  setTimeout(() => end(`not over after ${limit / 1000} s`), limit).unref();
  after(() => {
    setTimeout(() => end(`its tests are over, its process is not after ${grace / 1000} s`), grace).unref();
  });
}

/** Its children go with it: the runner waits until nobody has the file's output open any more. */
function end(why: string): void {
  const kept = process.getActiveResourcesInfo().join(", ");
  writeSync(2, `${process.argv[1]}: ${why}; what keeps it: ${kept}\n`);
  for (const pid of children()) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It has gone meanwhile.
    }
  }
  process.exit(1);
}

function children(): number[] {
  const texts = readdirSync("/proc/self/task").map((thread) =>
    readFileSync(`/proc/self/task/${thread}/children`, "utf8"),
  );
  return texts.join(" ").split(/\s+/).filter(Boolean).map(Number);
}
