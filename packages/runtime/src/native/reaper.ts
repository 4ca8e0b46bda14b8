import { lastError, libc } from "./libc.ts";

const WNOHANG = 1;
const PR_SET_CHILD_SUBREAPER = 36;
const P_ALL = 0;
const WEXITED = 4;
const WNOWAIT = 0x01000000;
/** Offset of si_pid in siginfo_t. */
const siPid = 16;
/** A lost SIGCHLD delays an exit by this much at most, and an orphan stays a zombie for twice this; milliseconds. */
const sweepInterval = 500;

/**
 * Waits for children this program has spawned by posix_spawn; node:child_process reaps its own by their ids too.
 * Orphans that have become our children, and that nobody waits for, are reaped as well.
 */
export class Reaper implements Disposable {
  readonly #waiting = new Map<number, (status: number) => void>();
  readonly #onSignal = () => this.#sweep();
  readonly #zombies = new Set<number>();
  #timer: NodeJS.Timeout | undefined;
  #orphanTimer: NodeJS.Timeout | undefined;

  constructor() {
    process.on("SIGCHLD", this.#onSignal);
  }

  /** Resolves with the exit code of the child `pid`: 0 to 255, or 128 + n when signal n ended it; 255 when it is no child. */
  wait(pid: number): Promise<number> {
    return new Promise((resolve) => {
      this.#waiting.set(pid, resolve);
      this.#timer ??= setInterval(this.#onSignal, sweepInterval);
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

  #sweep() {
    for (const [pid, resolve] of this.#waiting) this.#sweepOne(pid, resolve);
    this.#orphanTimer ??= setTimeout(() => this.#reapOrphans(), sweepInterval).unref();
  }

  #sweepOne(pid: number, resolve: (status: number) => void) {
    const status: [number] = [0];
    const found = libc.waitpid(pid, status, WNOHANG);
    if (found === 0) return;
    this.#waiting.delete(pid);
    if (this.#waiting.size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
    resolve(found === pid ? exitCode(status[0]) : 255); // not ours any more: nobody can tell how it ended
  }

  /** A zombie seen twice, half a second apart, is nobody's: whoever waits for a child does so at once. */
  #reapOrphans() {
    this.#orphanTimer = undefined;
    for (;;) {
      const info = Buffer.alloc(128);
      if (libc.waitid(P_ALL, 0, info, WEXITED | WNOHANG | WNOWAIT) < 0) break;
      const pid = info.readInt32LE(siPid);
      if (pid === 0) break;
      if (!this.#zombies.delete(pid)) {
        this.#zombies.clear();
        this.#zombies.add(pid);
        this.#orphanTimer = setTimeout(() => this.#reapOrphans(), sweepInterval).unref();
        break;
      }
      libc.waitpid(pid, [0], WNOHANG);
    }
  }
}

/** Orphans of our children become our own children, so that none stays a zombie until the node's init looks. */
export function becomeSubreaper(): void {
  if (libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0) throw lastError("prctl", "PR_SET_CHILD_SUBREAPER");
}

/** The shell's exit code of a wait status. */
export function exitCode(status: number): number {
  const signal = status & 0x7f;
  return signal === 0 ? (status >> 8) & 0xff : 128 + signal;
}
