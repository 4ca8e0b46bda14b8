import { lastError, libc } from "./libc.ts";

const WNOHANG = 1;
const PR_SET_CHILD_SUBREAPER = 36;
const P_ALL = 0;
const P_PID = 1;
const WEXITED = 4;
const WNOWAIT = 0x01000000;
/** Of the calling thread's children alone. Linux gives orphans to a process' first thread, on which this runs. */
const __WNOTHREAD = 0x20000000;
const CLD_EXITED = 1;
/** Bytes of a siginfo_t, and where in it si_code, si_pid and si_status are. */
const info = { bytes: 128, code: 8, pid: 16, status: 24 } as const;
/** A lost SIGCHLD delays an exit by this much at most, and an orphan stays a zombie for twice this; milliseconds. */
const sweepInterval = 500;

/**
 * Waits for children this program has spawned by posix_spawn; node:child_process reaps its own by their ids too.
 * Orphans that have become our children, and that nobody waits for, are reaped as well; other threads' children are not.
 *
 * Here it is only looked who has ended and how. To release them is another thread's: with a process go its files of
 * /proc, and while somebody else lets go of one of them, who happens to be without a processor, the kernel turns in
 * circles: 20 ms of the event loop's own time, seen with 50 pods that started side by side.
 */
export class Reaper implements Disposable {
  readonly #waiting = new Map<number, (code: number) => void>();
  readonly #onSignal = () => this.#look();
  readonly #released = new Set<number>();
  readonly #info = Buffer.alloc(info.bytes);
  #zombie: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #orphanTimer: NodeJS.Timeout | undefined;

  constructor() {
    process.on("SIGCHLD", this.#onSignal);
  }

  /** Resolves with the exit code of the child `pid`: 0 to 255, or 128 + n when signal n ended it; 255 when it is no child. */
  wait(pid: number): Promise<number> {
    return new Promise((resolve) => {
      this.#waiting.set(pid, resolve);
      this.#timer ??= setInterval(() => this.#sweep(), sweepInterval);
      this.#sweepOne(pid, resolve); // it may have ended before we listened
    });
  }

  /** wait() for a child that need not keep this process going. */
  watch(pid: number): Promise<number> {
    const exited = this.wait(pid);
    if (this.#waiting.size === 1) this.#timer?.unref();
    return exited;
  }

  [Symbol.dispose](): void {
    process.off("SIGCHLD", this.#onSignal);
    clearInterval(this.#timer);
    clearTimeout(this.#orphanTimer);
    this.#waiting.clear();
  }

  /** There is a SIGCHLD for each end, and one look for several may have been enough. */
  #look() {
    if (this.#ended(P_ALL, 0) !== "running") this.#sweep();
    this.#lookForOrphans();
  }

  #sweep() {
    for (const [pid, resolve] of this.#waiting) this.#sweepOne(pid, resolve);
  }

  #sweepOne(pid: number, resolve: (code: number) => void) {
    const ended = this.#ended(P_PID, pid);
    if (ended === "running") return;
    this.#waiting.delete(pid);
    if (this.#waiting.size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
    if (ended !== "none") this.#release(pid);
    resolve(ended === "none" ? 255 : ended.code); // not ours any more: nobody can tell how it ended
  }

  /** How a child has ended; it stays a zombie. */
  #ended(type: number, id: number): { pid: number; code: number } | "running" | "none" {
    // Other threads wait for their own: if we reaped those of one that is kept from looking, it would wait for ever.
    const whose = type === P_ALL ? __WNOTHREAD : 0;
    if (libc.waitid(type, id, this.#info, WEXITED | WNOHANG | WNOWAIT | whose) < 0) return "none";
    const pid = this.#info.readInt32LE(info.pid);
    if (pid === 0) return "running";
    return { pid, code: exitCode(this.#info.readInt32LE(info.code), this.#info.readInt32LE(info.status)) };
  }

  /** Reaps a child that has ended, on another thread. */
  #release(pid: number) {
    this.#released.add(pid);
    libc.waitpid.async(pid, null, WNOHANG, () => this.#released.delete(pid)); // if it is no child any more, so much the better
  }

  #lookForOrphans() {
    this.#orphanTimer ??= setTimeout(() => this.#reapOrphan(), sweepInterval).unref();
  }

  /** A zombie seen twice, half a second apart, is nobody's: whoever waits for a child does so at once. */
  #reapOrphan() {
    this.#orphanTimer = undefined;
    const ended = this.#ended(P_ALL, 0);
    const zombie = typeof ended === "string" || this.#released.has(ended.pid) ? undefined : ended.pid;
    if (zombie !== undefined && zombie === this.#zombie) this.#release(zombie);
    this.#zombie = zombie;
    if (typeof ended !== "string") this.#lookForOrphans();
  }
}

/** Orphans of our children become our own children, so that none stays a zombie until the node's init looks. */
export function becomeSubreaper(): void {
  if (libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0) throw lastError("prctl", "PR_SET_CHILD_SUBREAPER");
}

/** The shell's exit code of a siginfo_t's si_code and si_status. */
export function exitCode(code: number, status: number): number {
  return code === CLD_EXITED ? status : 128 + status;
}
