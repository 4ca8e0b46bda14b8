import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { it } from "node:test";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const flags = ["--max-semi-space-size=2", "--optimize-for-size", "--single-threaded-gc", "--no-separate-gc-phases"];

/** A daemon with 15 MB of live data, a part of which is replaced in each turn, that comes to rest then with less. */
const daemon = `
  import { setImmediate as turn, setTimeout as delay } from "node:timers/promises";
  import { cachedDataVersionTag } from "node:v8";
  import { giveHeapRoom } from "${pathToFileURL(`${import.meta.dirname}/heap.ts`)}";
  const tag = cachedDataVersionTag();
  const room = giveHeapRoom({ interval: 100 });
  const live = [];
  const replace = (n) => { live[n % 100_000] = { n, text: "number " + n, list: [n, n + 1, n + 2] }; };
  for (let n = 0; n < 100_000; n++) replace(n);
  console.log("at work");
  for (let n = 0; n < 600_000; n++) {
    replace(n);
    if (n % 500 === 0) await turn();
  }
  live.length = 1000;
  console.log("at rest");
  const before = process.memoryUsage().heapTotal;
  const over = Date.now() + 20_000;
  while (process.memoryUsage().heapTotal > before / 2 && Date.now() < over) await delay(20);
  console.log("small: " + (process.memoryUsage().heapTotal <= before / 2));
  room[Symbol.dispose]();
  console.log("code is good for the next: " + (cachedDataVersionTag() === tag));
`;

it("giveHeapRoom: all that lives is marked between turns while there is work, and the heap is small at rest", async () => {
  // The first is V8's own patience before it makes a heap at rest small.
  const more = ["--gc-memory-reducer-start-delay-ms=100", "--trace-gc", "--input-type=module", "-e", daemon];
  const { stdout } = await run(process.execPath, [...flags, ...more]);
  const [, atWork = "", atRest = ""] = stdout.split(/^at (?:work|rest)$/m);
  const full = atWork.split("\n").filter((line) => line.includes("Mark-Compact"));
  assert.ok(full.length > 2, `${full.length} full collections`);
  for (const line of full) assert.match(line, /finalize incremental marking via task/);
  assert.match(atRest, /^small: true$/m);
  assert.match(atRest, /^code is good for the next: true$/m);
});
