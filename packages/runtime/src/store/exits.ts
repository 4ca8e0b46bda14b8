import { type FSWatcher, watch } from "node:fs";
import { readdir } from "node:fs/promises";
import type { Logger } from "@hawser/trace";
import { readExit } from "../oci/conmon.ts";

export interface Exit {
  exitCode: number;
  /** Nanoseconds since 1970. */
  at: bigint;
  /** In place of what follows from the code, for an end that nobody has seen. */
  reason?: string;
  message?: string;
}

/**
 * Learns of containers' ends from the files that conmon leaves, whether it is our child or that of an earlier runtime.
 */
export class Exits implements Disposable {
  readonly #directory: string;
  readonly #log: Logger;
  readonly #onExit: (id: string, exit: Exit) => Promise<boolean>;
  readonly #handled = new Map<string, Promise<void>>();
  readonly #waiting = new Map<string, Set<() => void>>();
  #watcher: FSWatcher | undefined;

  /** `onExit` deals with an end. False for a container that is not known (yet): such an end is looked at again when asked for. */
  constructor(options: { directory: string; log: Logger; onExit: (id: string, exit: Exit) => Promise<boolean> }) {
    this.#directory = options.directory;
    this.#log = options.log;
    this.#onExit = options.onExit;
  }

  /** Watches from now on, and reports what happened before. */
  async start(): Promise<void> {
    this.#watcher = watch(this.#directory, { persistent: false }, (_event, name) => {
      if (name && !name.includes(".")) this.#look(name); // a name with a dot is conmon's file in the making
    });
    this.#watcher.on("error", (error) => this.#log.error("cannot watch containers' exits", { error }));
    for (const name of await readdir(this.#directory)) if (!name.includes(".")) await this.look(name);
  }

  /** Looks for one container's exit now. Resolves when it is fully dealt with, or at once when it still runs. */
  async look(id: string): Promise<void> {
    const known = this.#handled.get(id);
    if (known) return await known;
    const exit = await readExit(this.#directory, id);
    if (!exit) return;
    await this.report(id, exit);
  }

  /** Has an end dealt with, wherever it is known from; the first one counts. Resolves when that is done. */
  async report(id: string, exit: Exit): Promise<void> {
    const known = this.#handled.get(id);
    if (known) return await known;
    const dealing = this.#onExit(id, exit).catch((error: unknown) => {
      this.#log.error("cannot record a container's exit", { id, error });
      return true;
    });
    const handling = dealing.then((known) => {
      if (!known) this.#handled.delete(id);
    });
    this.#handled.set(id, handling);
    await handling;
    if (!this.#handled.has(id)) return;
    for (const wake of this.#waiting.get(id) ?? []) wake();
    this.#waiting.delete(id);
  }

  /** Waits for a container's end. False when it does not come within `timeoutMs`, or `signal` fires. */
  async wait(id: string, timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const wake = () => resolve(true);
    const giveUp = () => resolve(false);
    const waiters = this.#waiting.get(id) ?? new Set();
    this.#waiting.set(id, waiters.add(wake));
    const timer =
      timeoutMs === Number.POSITIVE_INFINITY ? undefined : setTimeout(giveUp, Math.min(timeoutMs, 2 ** 31 - 1));
    signal?.addEventListener("abort", giveUp, { once: true });
    try {
      await this.look(id);
      if (this.#handled.has(id)) return true;
      return await promise;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", giveUp);
      waiters.delete(wake);
    }
  }

  /** The container is removed: its exit may be forgotten. */
  forget(id: string): void {
    this.#handled.delete(id);
    this.#waiting.delete(id);
  }

  [Symbol.dispose](): void {
    this.#watcher?.close();
  }

  #look(id: string) {
    this.look(id).catch((error: unknown) => this.#log.error("cannot read a container's exit", { id, error }));
  }
}
