import { readFile } from "node:fs/promises";
import { closeQuietly, errno, lastError, libc } from "./libc.ts";

const SYS_pidfd_send_signal = 424;
const SYS_pidfd_open = 434;
const ESRCH = 3;

/** A process that cannot be mistaken for a later one with the same number. */
export interface ProcessId {
  pid: number;
  /** Clock ticks after boot: field 22 of /proc/PID/stat. */
  startTime: string;
}

/** Reads the identity of a live process (a zombie counts as gone); undefined when there is none. */
export async function identify(pid: number): Promise<ProcessId | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  // The second field is the program's name in parentheses, and may hold anything.
  const fields = stat?.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [state, startTime] = [fields?.[0], fields?.[19]];
  return startTime && state !== "Z" && state !== "X" ? { pid, startTime } : undefined;
}

export async function isAlive(id: ProcessId): Promise<boolean> {
  return (await identify(id.pid))?.startTime === id.startTime;
}

/** Signals exactly this process. False when it is gone. */
export async function signalProcess(id: ProcessId, signal: number): Promise<boolean> {
  using held = holdProcess(id.pid);
  if (!held || !(await isAlive(id))) return false; // from here on it is this one, or gone
  return held.send(signal);
}

/** Whoever has this number now, until disposed: what is sent goes to no later one. */
export interface HeldProcess extends Disposable {
  /** False when it is gone. */
  send(signal: number): boolean;
}

/** Undefined when nobody has the number. */
export function holdProcess(pid: number): HeldProcess | undefined {
  const fd = libc.syscall3(SYS_pidfd_open, pid, 0, 0, 0);
  if (fd < 0) {
    if (errno() === ESRCH) return undefined;
    throw lastError("pidfd_open", String(pid));
  }
  return {
    send(signal) {
      if (libc.syscall3(SYS_pidfd_send_signal, fd, signal, 0, 0) === 0) return true;
      if (errno() === ESRCH) return false;
      throw lastError("pidfd_send_signal", String(pid));
    },
    [Symbol.dispose]: () => closeQuietly(fd),
  };
}
