// Loaded into a daemon by --import, for the bench alone. SIGUSR2 begins to watch its event loop, and the next one writes what was
// seen, as JSON, to the file that this module's address names: `--import file:///…/loop-probe.ts?report=FILE`.
import { closeSync, openSync, readSync, renameSync, writeFileSync } from "node:fs";
import { performance } from "node:perf_hooks";
import koffi from "koffi";

/** One turn of the event loop: from one look at the kernel's events to the next. All in milliseconds. */
export interface Turn {
  /** The main thread's own time on a processor, kernel and garbage collection included. */
  own: number;
  /** What it waited for a processor, ready to run: at its wake-up, and when another thread took its place. */
  waited: number;
  /** From the first callback to the last, by the clock: what an event that comes right then has to wait. */
  held: number;
}

export interface LoopReport {
  turns: number;
  /** The longest of each, not of one turn. */
  longest: Turn;
  /** Of each, the 99th percentile. */
  p99: Turn;
  /** All turns together. */
  total: Turn;
  /** Turns of more than 10 ms of their own time. */
  above10: number;
  /** The longest by their own time, with where in the watch they began. */
  worst: (Turn & { at: number })[];
}

/** Turns kept; further ones are only counted. */
const maxTurns = 500_000;
const CLOCK_THREAD_CPUTIME_ID = 3;

const report = new URL(import.meta.url).searchParams.get("report");
const clockGettime = koffi.load("libc.so.6").func("int clock_gettime(int clock, void *time)") as (
  clock: number,
  time: BigInt64Array,
) => number;
const time = new BigInt64Array(2);
const text = Buffer.alloc(128);
let schedstat: number | undefined;

interface Reading {
  own: number;
  waited: number;
  clock: number;
  idle: number;
}

/** process.threadCpuUsage() lags by up to a tick of the scheduler, 4 ms; this does not. */
function read(fd: number): Reading {
  clockGettime(CLOCK_THREAD_CPUTIME_ID, time);
  // On-CPU time, time on a run queue, timeslices. Source: kernel Documentation/scheduler/sched-stats.rst
  const [, waited] = text.toString("latin1", 0, readSync(fd, text, 0, text.length, 0)).split(" ");
  return {
    own: Number(time[0]) * 1e3 + Number(time[1]) / 1e6,
    waited: Number(waited) / 1e6,
    clock: performance.now(),
    idle: performance.eventLoopUtilization().idle,
  };
}

let turns: (Turn & { at: number })[] = [];
let began = 0;
let last: Reading | undefined;

/** At the end of each turn. An immediate that keeps nothing alive does not keep the loop from sleeping either. */
function turn(): void {
  if (schedstat === undefined) return;
  const now = read(schedstat);
  if (last && turns.length < maxTurns) {
    const wall = now.clock - last.clock;
    turns.push({
      own: now.own - last.own,
      waited: now.waited - last.waited,
      held: wall - (now.idle - last.idle),
      at: last.clock - began,
    });
  }
  last = now;
  setImmediate(turn).unref();
}

function summary(): LoopReport {
  const each = (pick: (values: Float64Array) => number): Turn => {
    const of = (key: keyof Turn) => pick(Float64Array.from(turns, (turn) => turn[key]).sort());
    return { own: of("own"), waited: of("waited"), held: of("held") };
  };
  return {
    turns: turns.length,
    longest: each((values) => values.at(-1) ?? 0),
    p99: each((values) => values[Math.floor(values.length * 0.99)] ?? 0),
    total: each((values) => values.reduce((sum, value) => sum + value, 0)),
    above10: turns.filter(({ own }) => own > 10).length,
    worst: turns.toSorted((a, b) => b.own - a.own).slice(0, 20),
  };
}

process.on("SIGUSR2", () => {
  if (schedstat === undefined) {
    schedstat = openSync("/proc/thread-self/schedstat", "r");
    turns = [];
    last = undefined;
    began = performance.now();
    setImmediate(turn).unref();
    return;
  }
  closeSync(schedstat);
  schedstat = undefined;
  if (!report) return;
  writeFileSync(`${report}.new`, JSON.stringify(summary()));
  renameSync(`${report}.new`, report);
});
