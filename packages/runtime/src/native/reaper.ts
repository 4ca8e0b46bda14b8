import { readFile } from "node:fs/promises";
import { turn } from "../turns.ts";
import { lastError, libc } from "./libc.ts";
import type { Starter } from "./starter.ts";

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
/** A lost SIGCHLD delays an exit by this much at most, and orphans stay zombies for twice this; milliseconds. */
const sweepInterval = 500;
/** Children looked at without a pause, in a search for orphans. */
const lookedAtOnce = 16;
/** Children on their way to the other thread; koffi throws for its 257th call. The others wait for these. */
const maxReleasing = 16;

/**
 * Waits for children this program has spawned by posix_spawn; node:child_process reaps its own by their ids too.
 * Orphans that have become our children, and that nobody waits for, are reaped as well; other threads' children are not.
 *
 * Here it is only looked who has ended and how. To release them is another thread's: with a process go its files of
 * /proc, and while somebody else lets go of one of them, who happens to be without a processor, the kernel turns in
 * circles: 20 ms of the event loop's own time, seen with 50 pods that started side by side.
 */
export class Reaper implements Disposable {
  /** Who starts them in place of this thread, if somebody does. */
  starter: Starter | undefined;
  readonly #waiting = new Map<number, (code: number) => void>();
  /** Those of them that need not keep this process going. */
  readonly #watched = new Set<number>();
  readonly #onSignal = () => this.#look();
  /** Those that have ended and are not reaped yet; of them those whose turn has not come. */
  readonly #released = new Set<number>();
  readonly #toRelease: number[] = [];
  #releasing = 0;
  readonly #info = Buffer.alloc(info.bytes);
  #zombies = new Set<number>();
  /** Since when children are being started whose ids are not known yet, the oldest first. */
  readonly #expected = new Set<{ since: number }>();
  #disposed = false;
  #timer: NodeJS.Timeout | undefined;
  #orphanTimer: NodeJS.Timeout | undefined;

  constructor() {
    process.on("SIGCHLD", this.#onSignal);
  }

  /** Resolves with the exit code of the child `pid`: 0 to 255, or 128 + n when signal n ended it; 255 when it is no child. */
  wait(pid: number): Promise<number> {
    return new Promise((resolve) => {
      this.#waiting.set(pid, resolve);
      this.#timer ??= setInterval(() => this.#sweepIfAny(), sweepInterval);
      this.#holdOn();
      this.#sweepOne(pid, resolve); // it may have ended before we listened
    });
  }

  /** wait() for a child that need not keep this process going. */
  watch(pid: number): Promise<number> {
    this.#watched.add(pid);
    return this.wait(pid);
  }

  /** A child is being started, and will be waited for: until this is disposed of, no zombie that could be it is nobody's. */
  expect(): Disposable {
    const expected = { since: performance.now() };
    this.#expected.add(expected);
    return { [Symbol.dispose]: () => this.#expected.delete(expected) };
  }

  /** The timer keeps this process going while somebody waits whose child is to. */
  #holdOn() {
    if (this.#waiting.size > this.#watched.size) this.#timer?.ref();
    else this.#timer?.unref();
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    process.off("SIGCHLD", this.#onSignal);
    clearInterval(this.#timer);
    clearTimeout(this.#orphanTimer);
    this.#waiting.clear();
    this.#watched.clear();
  }

  /** There is a SIGCHLD for each end, and one look for several may have been enough. */
  #look() {
    this.#sweepIfAny();
    this.#lookForOrphans();
  }

  /** One look says whether anybody has ended: all children here are this thread's. */
  #sweepIfAny() {
    if (this.#ended(P_ALL, 0) !== "running") this.#sweep();
  }

  #sweep() {
    for (const [pid, resolve] of this.#waiting) this.#sweepOne(pid, resolve);
  }

  #sweepOne(pid: number, resolve: (code: number) => void) {
    const ended = this.#ended(P_PID, pid);
    if (ended === "running") return;
    this.#waiting.delete(pid);
    this.#watched.delete(pid);
    this.#holdOn();
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
    this.#toRelease.push(pid);
    this.#releaseMore();
  }

  #releaseMore() {
    if (this.#releasing >= maxReleasing) return;
    const pid = this.#toRelease.shift();
    if (pid === undefined) return;
    this.#releasing++;
    // If it is no child any more, so much the better.
    libc.waitpid.async(pid, null, WNOHANG, () => {
      this.#released.delete(pid);
      this.#releasing--;
      this.#releaseMore();
    });
  }

  #lookForOrphans() {
    this.#orphanTimer ??= setTimeout(() => void this.#reapOrphans(), sweepInterval).unref();
  }

  /**
   * Zombies seen twice, half a second apart, are nobody's: whoever waits for a child does so at once. All of them go: a command
   * that shares the node's processes can make them by the thousand.
   */
  async #reapOrphans(): Promise<void> {
    this.#orphanTimer = undefined; // for those who end from now on
    const [oldest] = this.#expected;
    const late = oldest !== undefined && oldest.since < performance.now() - sweepInterval;
    const seen = new Set<number>();
    for (const [index, pid] of (await this.#children()).entries()) {
      if (index % lookedAtOnce === 0) await turn();
      if (this.#disposed) return;
      if (this.#waiting.has(pid) || this.#released.has(pid) || typeof this.#ended(P_PID, pid) === "string") continue;
      if (this.#zombies.has(pid) && !late) this.#release(pid);
      else seen.add(pid);
    }
    this.#zombies = seen;
    if (seen.size > 0) this.#lookForOrphans();
  }

  /** Our children, those of other threads apart; without CONFIG_PROC_CHILDREN one zombie of them. */
  async #children(): Promise<number[]> {
    const children = await readFile(`/proc/self/task/${process.pid}/children`, "latin1").catch(() => undefined);
    if (children !== undefined) return children.split(" ").filter(Boolean).map(Number);
    const ended = this.#ended(P_ALL, 0);
    return typeof ended === "string" ? [] : [ended.pid];
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
