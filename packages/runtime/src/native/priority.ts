import { readdirSync, readFileSync } from "node:fs";
import { getPriority, setPriority } from "node:os";
import { libc } from "./libc.ts";

/** Source: linux/sched.h */
const SCHED_OTHER = 0;
const SCHED_RESET_ON_FORK = 0x40000000;
/** The event loop's nice value: nine times the share of an ordinary thread, and no more than a share. */
const wanted = -10;
/** As Node has called V8's threads since its version 24. */
const nameOfV8s = "V8Worker";

/**
 * Lets the calling thread have a processor before others: an event loop that waits for one behind the commands it has started
 * lets everybody wait. Of this thread alone: the threads and programs it starts from now on are at nice 0, containers too, also
 * where this process itself was started with a negative value.
 *
 * Returns the nice value there is now: -10, or what the process was started with if that was not 0 or the system allows no
 * more (CAP_SYS_NICE).
 */
export function favourThisThread(): number {
  if (!resetOnFork(0) || getPriority() !== 0) return getPriority();
  try {
    setPriority(wanted); // on Linux the calling thread's, not the process'
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ERR_SYSTEM_ERROR") throw error;
  }
  return getPriority();
}

/** The same for a process of one thread that the event loop waits for, if that is favoured itself. What it starts is not. */
export function favour(pid: number): void {
  if (getPriority() !== wanted) return;
  try {
    if (resetOnFork(pid)) setPriority(pid, wanted);
  } catch {
    // It has just ended, or may not be favoured: slower, not wrong.
  }
}

/** Raised without this, every container would be. */
function resetOnFork(pid: number): boolean {
  return libc.schedSetscheduler(pid, SCHED_OTHER | SCHED_RESET_ON_FORK, new Uint8Array(4)) === 0;
}

/**
 * The same for the threads that V8 has beside the event loop, if that is favoured: they compile, and sweep what was found dead,
 * for a few milliseconds; and one that stands without a processor has the loop stand, when that gives the next piece of work
 * away.
 * They start nothing. Reads /proc synchronously: for the start.
 */
export function favourThreadsOfV8(): void {
  if (getPriority() !== wanted) return;
  for (const thread of readdirSync("/proc/self/task")) {
    try {
      const name = readFileSync(`/proc/self/task/${thread}/comm`, "latin1").trim();
      if (name === nameOfV8s) setPriority(Number(thread), wanted);
    } catch {
      // It has just ended, or may not be favoured: no reason not to start.
    }
  }
}
