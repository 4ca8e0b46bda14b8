// Where the tries of one upload unpack beside its place.
import type { KubeClient } from "../client.ts";
import { type Beside, besideOf, tidy } from "./beside.ts";
import type { Counter } from "./source.ts";
import type { Target } from "./target.ts";
import type { CopyToOptions } from "./types.ts";

/**
 * One place, until the whole archive of a new tree was sent there and nobody has heard what came of it: its tar may be at work for long, so that the next try
 * does not meddle with it, but has a place of its own.
 */
export class Places {
  readonly #client: KubeClient;
  readonly #options: CopyToOptions;
  readonly #target: Target;
  readonly #all: Beside[];
  /** Tries whose whole archive was sent: each may be in place, or come there yet. */
  readonly #sent: { beside: Beside; count: Counter }[] = [];
  #current: Beside;

  constructor(client: KubeClient, options: CopyToOptions, target: Target) {
    this.#client = client;
    this.#options = options;
    this.#target = target;
    this.#current = besideOf(target);
    this.#all = [this.#current];
  }

  get current(): Beside {
    return this.#current;
  }

  /** Whether all of it was sent to the current place. */
  get isSent(): boolean {
    return this.#sent.at(-1)?.beside === this.#current;
  }

  /** All of it was sent to the current place. */
  sent(count: Counter): void {
    this.#sent.push({ beside: this.#current, count });
  }

  another(): void {
    this.#current = besideOf(this.#target);
    this.#all.push(this.#current);
  }

  /** What was sent by the first of all such tries, or the last alone, that has come to its place. Throws as `exec` does. */
  async placed(which: "all" | "last"): Promise<Counter | undefined> {
    for (const { beside, count } of which === "all" ? this.#sent : this.#sent.slice(-1)) {
      if (await beside.isPlaced(this.#client, this.#options)) return count;
    }
    return undefined;
  }

  /** Removes what is left of them, after a copy that failed. */
  async clear(): Promise<void> {
    await tidy(this.#client, this.#options, { besides: this.#all }); // a failure is told already; this one would only hide it
  }

  /** The same after one that succeeded: a warning says what may be left, also where the copy is aborted meanwhile. */
  async tidy(): Promise<void> {
    const { signal, onWarning } = this.#options;
    if (await tidy(this.#client, this.#options, { besides: this.#all, signal })) return;
    const paths = this.#all.flatMap(({ paths }) => paths);
    onWarning?.(`the copy is whole, but there may be left in the container: ${paths.join(", ")}`);
  }
}
