import { constants } from "node:os";
import type { Logger } from "@hawser/trace";
import { isAlive, signalProcess } from "../native/process-id.ts";
import type { Exits } from "./exits.ts";
import type { ContainerRecord } from "./records.ts";
import type { Store } from "./store.ts";

/** How often the conmons of an earlier runtime, which are not our children, are looked at, milliseconds. */
const lookInterval = 5000;
/** How long a killed process may take to be gone, milliseconds, and between two looks. */
const killPatience = 10_000;
const killInterval = 5;

/**
 * Notices when a container loses its conmon: nobody takes its output or learns of its end any more, so it is killed, and its end
 * is recorded with the reason. A conmon that ends in order has left the exit code before.
 */
export class Monitors implements Disposable {
  readonly #containers: Store<ContainerRecord>;
  readonly #exits: Exits;
  readonly #log: Logger;
  readonly #now: () => bigint;
  readonly #children = new Set<string>();
  readonly #timer: NodeJS.Timeout;

  constructor(options: { containers: Store<ContainerRecord>; exits: Exits; log: Logger; now: () => bigint }) {
    this.#containers = options.containers;
    this.#exits = options.exits;
    this.#log = options.log;
    this.#now = options.now;
    this.#timer = setInterval(() => this.#lookAtAll(), lookInterval).unref();
  }

  /** Watches a conmon that is our child. */
  watch(id: string, exited: Promise<unknown>): void {
    this.#children.add(id);
    exited
      .then(() => this.settle(id))
      .catch((error: unknown) => this.#log.error("cannot record a container's end", { id, error }))
      .finally(() => this.#children.delete(id));
  }

  /** Looks at one container now: resolves when its end is recorded, or at once when its conmon lives. */
  async settle(id: string): Promise<void> {
    const record = this.#containers.find(id);
    if (!record || record.state === "exited" || (await isAlive(record.conmon))) return;
    await this.#exits.look(id);
    const state = this.#containers.find(id)?.state;
    if (state === undefined || state === "exited") return;
    const killed = await signalProcess(record.init, constants.signals.SIGKILL);
    const deadline = performance.now() + killPatience;
    while ((await isAlive(record.init)) && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, killInterval));
    }
    this.#log.warn("a container has lost its conmon", { id, killed });
    const message = killed
      ? "conmon, which watched the container, has ended: the container was killed"
      : "the container ended while nobody watched: its exit code is lost";
    const [exitCode, reason] = killed ? [128 + constants.signals.SIGKILL, "Error"] : [255, "Unknown"];
    await this.#exits.report(id, { exitCode, at: this.#now(), reason, message });
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #lookAtAll() {
    for (const { id, state } of this.#containers.list()) {
      if (state === "exited" || this.#children.has(id)) continue;
      this.settle(id).catch((error: unknown) => this.#log.error("cannot look at a container", { id, error }));
    }
  }
}
