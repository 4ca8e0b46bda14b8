import { PerformanceObserver, performance } from "node:perf_hooks";
import { setFlagsFromString } from "node:v8";

/** V8's flags. A heap at work grows by a fifth, or 8 MB, from one full collection to the next. */
const flags = {
  "at work": ["--no-optimize-for-size", "--no-compact", "--heap-growing-percent=20", "--concurrent-sweeping"],
  "at rest": ["--optimize-for-size", "--compact", "--heap-growing-percent=0", "--no-concurrent-sweeping"],
};
/** The part of the time for which the event loop may be busy, at rest. */
const restful = 0.1;
/** Intervals for which the heap is left at rest before what was freed outside of it is given back. */
const intervalsBeforeTrim = 3;

/** Undefined where the heap is left alone. */
let state: keyof typeof flags | undefined;
/** Called when the state has changed. */
let onChange: (next: keyof typeof flags) => void = () => {};
/** Works under way that take longer than a look at the loop tells. */
let held = 0;

/** To be called before work that makes garbage. */
export function heapAtWork(): void {
  if (state === "at rest") become("at work");
}

/**
 * heapAtWork(), and until disposed the heap does not come to rest: for work that makes garbage in bits, between which the loop is
 * idle for long.
 */
export function keepHeapAtWork(): Disposable {
  held++;
  heapAtWork();
  return {
    [Symbol.dispose]() {
      held--;
    },
  };
}

/**
 * The daemon's heap may grow while there is work, and is made small again when there is none.
 *
 * With --optimize-for-size, which the daemon is started with, V8 lets nothing take the heap past its limit: where that is met
 * before all that lives has been marked, bit by bit between the daemon's turns, the rest is marked at once, and holds
 * the event loop for 20 ms and more. So does moving what lives closer together. Without the flag the heap may grow further
 * meanwhile, but memory that is no longer needed is never given back by a daemon at rest. So the flags are there at rest alone:
 * not while the event loop is busy, nor from heapAtWork() to the next look at it. `interval` is the time between two looks,
 * milliseconds. At rest there is a look when garbage has been collected, and no timer: where there is no garbage, it is no
 * matter.
 *
 * At work, what a collection has found dead is swept by V8's own threads (native/priority.ts). The event loop would sweep as much
 * as it needs, and all the rest at once when the next collection begins: 4 to 9 ms.
 *
 * `trim` is called once when the heap has been at rest for three intervals: what V8's compiler and others had is free by
 * then, and malloc() keeps it, 10 MB and more.
 *
 * Does nothing in a process that was not started with the flag. Disposing puts it back: compiled code that Node keeps at
 * the end is of use only to processes with the same flags.
 */
export function giveHeapRoom({ interval = 2000, trim = () => {} } = {}): Disposable {
  if (!process.execArgv.includes("--optimize-for-size")) return { [Symbol.dispose]() {} };
  let last = performance.eventLoopUtilization();
  let timer: NodeJS.Timeout | undefined;
  let trimTimer: NodeJS.Timeout | undefined;
  const look = () => {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, last);
    last = now;
    become(utilization < restful && held === 0 ? "at rest" : "at work");
  };
  const collections = new PerformanceObserver(() => {
    // The loop is never idle between two collections of the same burst: a tenth of an interval tells more.
    const { idle, active } = performance.eventLoopUtilization();
    if (idle + active - last.idle - last.active >= interval / 10) look();
  });
  onChange = (next) => {
    clearInterval(timer);
    clearTimeout(trimTimer);
    if (next === "at work") {
      collections.disconnect();
      last = performance.eventLoopUtilization();
      timer = setInterval(look, interval).unref();
    } else {
      collections.observe({ entryTypes: ["gc"] });
      trimTimer = setTimeout(trim, interval * intervalsBeforeTrim).unref();
    }
  };
  become("at work");
  return {
    [Symbol.dispose]() {
      become("at rest");
      onChange = () => {};
      collections.disconnect();
      clearTimeout(trimTimer);
      state = undefined;
    },
  };
}

function become(next: keyof typeof flags) {
  if (next === state) return;
  state = next;
  for (const flag of flags[next]) setFlagsFromString(flag);
  onChange(next);
}
