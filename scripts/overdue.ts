// Loaded into the process of every test file: one that is not over in time says what keeps it, and ends. Without this a test that failed with a server still
// open, or a child still running, would hold the whole run for ever: node:test bounds tests and hooks, not their files.
import { writeSync } from "node:fs";

/** Milliseconds for one file: twice what one of its tests may take. */
const limit = 2 * Number(process.env.HAWSER_TEST_TIMEOUT ?? 300_000);

if (process.env.NODE_TEST_CONTEXT) {
  setTimeout(() => {
    const kept = process.getActiveResourcesInfo().join(", ");
    writeSync(2, `${process.argv[1]}: not over after ${limit / 1000} s; what keeps it: ${kept}\n`);
    process.exit(1);
  }, limit).unref();
}
