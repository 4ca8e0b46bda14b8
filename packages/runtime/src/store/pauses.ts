import { ContainerEventType } from "@hawser/cri";
import type { Logger } from "@hawser/trace";
import { isAlive } from "../native/process-id.ts";
import type { Reaper } from "../native/reaper.ts";
import type { Events } from "../server/events.ts";
import type { SandboxRecord } from "./records.ts";
import type { Store } from "./store.ts";

/** How often the pause processes of an earlier runtime, which are not our children, are looked at, milliseconds. */
const lookInterval = 5000;

/** Notices when a sandbox loses its pause process: it is not ready then. */
export class Pauses implements Disposable {
  readonly #sandboxes: Store<SandboxRecord>;
  readonly #reaper: Reaper;
  readonly #events: Events;
  readonly #log: Logger;
  /** Those whose pause process is our child: its end is told. */
  readonly #children = new Set<string>();
  readonly #timer: NodeJS.Timeout;

  constructor(options: { sandboxes: Store<SandboxRecord>; reaper: Reaper; events: Events; log: Logger }) {
    this.#sandboxes = options.sandboxes;
    this.#reaper = options.reaper;
    this.#events = options.events;
    this.#log = options.log;
    this.#timer = setInterval(() => this.#lookAtAll(), lookInterval).unref();
  }

  /** Watches a sandbox whose pause process we have started: as a subreaper we are its parent. */
  watch({ id, pause }: SandboxRecord): void {
    if (!pause) return;
    this.#children.add(id);
    this.#reaper
      .watch(pause.pid)
      .then(() => this.look(id))
      .catch((error: unknown) => this.#log.error("cannot record a sandbox' end", { id, error }))
      .finally(() => this.#children.delete(id));
  }

  /** Looks at one sandbox now. */
  async look(id: string): Promise<void> {
    const record = this.#sandboxes.find(id);
    if (record?.state !== "ready" || !record.pause || (await isAlive(record.pause))) return;
    if (this.#sandboxes.find(id)?.state !== "ready") return; // another look, or a stop or removal, was first
    this.#log.at(4, "sandbox has lost its pause process", { id });
    await this.#sandboxes.note(id, (latest) => ({ ...latest, state: "notready" }));
    this.#events.emit(id, ContainerEventType.CONTAINER_STOPPED_EVENT);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #lookAtAll() {
    for (const { id } of this.#sandboxes.list()) {
      if (this.#children.has(id)) continue;
      this.look(id).catch((error: unknown) => this.#log.error("cannot look at a sandbox", { id, error }));
    }
  }
}
