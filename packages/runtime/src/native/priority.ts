import { getPriority, setPriority } from "node:os";
import { libc } from "./libc.ts";

/** Source: linux/sched.h */
const SCHED_OTHER = 0;
const SCHED_RESET_ON_FORK = 0x40000000;
/** The event loop's nice value: nine times the share of an ordinary thread, and no more than a share. */
const wanted = -10;

/**
 * Lets the calling thread have a processor before others: an event loop that waits for one behind the commands it has started
 * lets everybody wait. Of this thread alone: the threads and programs it starts from now on are at nice 0, containers too, also
 * where this process itself was started with a negative value.
 *
 * Returns the nice value there is now: -10, or what the process was started with if that was not 0 or the system allows no
 * more (CAP_SYS_NICE).
 */
export function favourThisThread(): number {
  // Raised without this, every container would be.
  const reset = libc.schedSetscheduler(0, SCHED_OTHER | SCHED_RESET_ON_FORK, new Uint8Array(4)) === 0;
  if (!reset || getPriority() !== 0) return getPriority();
  try {
    setPriority(wanted); // on Linux the calling thread's, not the process'
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ERR_SYSTEM_ERROR") throw error;
  }
  return getPriority();
}
