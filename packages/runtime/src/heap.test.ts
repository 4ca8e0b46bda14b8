import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { it } from "node:test";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { runtimeHeapFlags } from "./heap-flags.ts";

const run = promisify(execFile);
/**
 * A daemon with 15 MB of live data, a part of which is replaced in each turn, that comes to rest then with less. Whether a
 * collection began within a turn or between two is told by the clock, not by V8's words.
 */
const daemon = `
  import { PerformanceObserver, constants, performance } from "node:perf_hooks";
  import { setImmediate as turn, setTimeout as delay } from "node:timers/promises";
  import { cachedDataVersionTag } from "node:v8";
  import { giveHeapRoom, keepHeapAtWork } from "${pathToFileURL(`${import.meta.dirname}/heap.ts`)}";
  const full = [];
  new PerformanceObserver((list) => {
    for (const { startTime, detail } of list.getEntries()) {
      if (detail.kind === constants.NODE_PERFORMANCE_GC_MAJOR) full.push(startTime);
    }
  }).observe({ entryTypes: ["gc"] });
  const tag = cachedDataVersionTag();
  const interval = 100;
  const intervals = new Set();
  const { setInterval, clearInterval } = globalThis;
  globalThis.setInterval = (...args) => {
    const timer = setInterval(...args);
    intervals.add(timer);
    return timer;
  };
  globalThis.clearInterval = (timer) => {
    clearInterval(timer);
    intervals.delete(timer);
  };
  let trims = 0;
  const room = giveHeapRoom({ interval, trim: () => trims++ });
  const live = [];
  const replace = (n) => { live[n % 100_000] = { n, text: "number " + n, list: [n, n + 1, n + 2] }; };
  for (let n = 0; n < 100_000; n++) replace(n);
  const turns = [];
  for (let n = 0; n < 800_000; await turn()) {
    const began = performance.now();
    for (const end = n + 500; n < end; n++) replace(n);
    turns.push([began, performance.now()]);
  }
  await delay(0); // what is observed is told in a later turn
  const atWork = full.filter((at) => at > turns[0][0] && at < turns.at(-1)[1]);
  const within = atWork.filter((at) => turns.some(([began, ended]) => at >= began && at <= ended));
  const atItsLargest = process.memoryUsage().heapTotal;
  live.length = 1000;
  const atStart = () => cachedDataVersionTag() === tag;
  const over = Date.now() + 20_000;
  while (!atStart() && Date.now() < over) await delay(20);
  const asAtStart = atStart();
  let small = false; // what was found dead is swept, and given back, by other threads
  for (; !small && Date.now() < over; await delay(20)) {
    gc();
    small = process.memoryUsage().heapTotal < atItsLargest / 2;
  }
  const keeper = keepHeapAtWork();
  await delay(3 * interval);
  const kept = !atStart();
  keeper[Symbol.dispose]();
  while (!atStart() && Date.now() < over) await delay(20);
  const letGo = atStart();
  while (trims === 0 && Date.now() < over) await delay(20);
  const trimmed = trims;
  const timers = intervals.size;
  while (atStart() && Date.now() < over) {
    for (let n = 0; n < 500; n++) replace(n);
    await turn();
  }
  const noticed = !atStart();
  while (!atStart() && Date.now() < over) await delay(20);
  room[Symbol.dispose]();
  const seen = { within: within.length, asAtStart, small, kept, letGo, trimmed, timers, noticed, codeIsGood: atStart() };
  console.log(JSON.stringify({ atWork: atWork.length, ...seen }));
`;

it("giveHeapRoom: all that lives is marked between turns while there is work, and at rest the heap is as at the start, without a timer", async () => {
  const { stdout } = await run(process.execPath, [
    ...runtimeHeapFlags(),
    "--expose-gc",
    "--input-type=module",
    "-e",
    daemon,
  ]);
  const { atWork, ...rest } = JSON.parse(stdout) as { atWork: number };
  assert.ok(atWork > 2, `${atWork} full collections`);
  const asWished = { asAtStart: true, small: true, kept: true, letGo: true, noticed: true, codeIsGood: true };
  assert.deepEqual(rest, { within: 0, ...asWished, trimmed: 1, timers: 0 });
});
