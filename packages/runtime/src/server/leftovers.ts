import type { Logger } from "@hawser/trace";

/** Until it is tried again, milliseconds: twice as long each time, and this at most. */
const first = 5000;
const longest = 300_000;
/** Most that are tried again; what is left of others, the next start finds. */
const maxLeft = 1000;

/** Takes something away. Resolves with whether nothing is left of it. Does not throw. */
type TakeAway = () => Promise<boolean>;

/**
 * What is left of pods and containers that could not be made, and could not be taken away either: a plugin failed, there were no
 * descriptors left. Nobody asks for it again, as nobody knows of it, but it holds addresses and mounts: so it is tried again.
 */
export class Leftovers implements AsyncDisposable {
  readonly #log: Logger;
  readonly #left = new Map<string, TakeAway>();
  #delay = first;
  #timer: NodeJS.Timeout | undefined;
  #trying = Promise.resolve();
  #closed = false;

  constructor({ log }: { log: Logger }) {
    this.#log = log;
  }

  /** How many there are. */
  get size(): number {
    return this.#left.size;
  }

  /** Has it taken away later, and again until nothing is left. */
  add(id: string, takeAway: TakeAway): void {
    if (this.#closed || this.#left.size >= maxLeft) return;
    this.#left.set(id, takeAway);
    this.#delay = first;
    clearTimeout(this.#timer);
    this.#wait();
  }

  #wait(): void {
    this.#timer = setTimeout(() => {
      this.#trying = this.#tryAll();
    }, this.#delay).unref();
  }

  async #tryAll(): Promise<void> {
    for (const [id, takeAway] of this.#left) {
      if (this.#closed) return;
      if (!(await takeAway())) continue;
      this.#left.delete(id);
      this.#log.info("what was left has been taken away", { id });
    }
    this.#delay = Math.min(longest, 2 * this.#delay);
    if (this.#left.size > 0 && !this.#closed) this.#wait();
  }

  /** Resolves when nobody is at work any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#trying;
  }
}
