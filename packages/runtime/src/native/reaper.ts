import { libc } from "./libc.ts";

const WNOHANG = 1;
/** A lost SIGCHLD delays an exit by this much at most, milliseconds. */
const sweepInterval = 1000;

/**
 * Waits for children this program has spawned by posix_spawn, and only for those:
 * node:child_process reaps its own by their ids too.
 */
export class Reaper implements Disposable {
  readonly #waiting = new Map<number, (status: number) => void>();
  readonly #onSignal = () => this.#sweep();
  #timer: NodeJS.Timeout | undefined;

  /** Resolves with the exit code of the child `pid`: 0 to 255, or 128 + n when signal n ended it. */
  wait(pid: number): Promise<number> {
    return new Promise((resolve) => {
      this.#waiting.set(pid, resolve);
      if (!this.#timer) this.#listen();
      this.#sweepOne(pid, resolve); // it may have ended before we listened
    });
  }

  [Symbol.dispose](): void {
    this.#quiet();
    this.#waiting.clear();
  }

  #listen() {
    process.on("SIGCHLD", this.#onSignal);
    this.#timer = setInterval(this.#onSignal, sweepInterval);
  }

  #quiet() {
    process.off("SIGCHLD", this.#onSignal);
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #sweep() {
    for (const [pid, resolve] of this.#waiting) this.#sweepOne(pid, resolve);
  }

  #sweepOne(pid: number, resolve: (status: number) => void) {
    const status: [number] = [0];
    const found = libc.waitpid(pid, status, WNOHANG);
    if (found === 0) return;
    this.#waiting.delete(pid);
    if (this.#waiting.size === 0) this.#quiet();
    resolve(found === pid ? exitCode(status[0]) : 255); // not ours any more: nobody can tell how it ended
  }
}

/** The shell's exit code of a wait status. */
export function exitCode(status: number): number {
  const signal = status & 0x7f;
  return signal === 0 ? (status >> 8) & 0xff : 128 + signal;
}
