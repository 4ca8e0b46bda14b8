import { EventRing } from "./event-ring.ts";
import type { StorageEvent, StorageWatch } from "./storage.ts";

/** Where a watch that has fallen out of memory reads on. */
export interface EventLog {
  /** Up to a few hundred events after `after` with this prefix, and the revision the answer reaches. Throws CompactedError. */
  read(prefix: string, after: number): { events: StorageEvent[]; reached: number };
  revision(): number;
}

/**
 * Hands each write to all watches. A watch is a prefix and a position, never a queue: one that is slow
 * reads on from the ring or from the log, so it costs the same as one that is fast.
 */
export class WatchHub {
  readonly #log: EventLog;
  readonly #ring: EventRing;
  readonly #waiting = new Set<{ prefix: string; wake: () => void }>();

  constructor(log: EventLog) {
    this.#log = log;
    this.#ring = new EventRing(log.revision());
  }

  publish(event: StorageEvent): void {
    this.#ring.push(event);
    for (const waiter of this.#waiting) {
      if (event.key.startsWith(waiter.prefix)) waiter.wake();
    }
  }

  watch(prefix: string, { after, signal }: { after: number; signal: AbortSignal }): StorageWatch {
    let position = after;
    let idle = false;
    const log = this.#log;
    const next = () => {
      const recent = this.#ring.since(position);
      const { events, reached } = recent
        ? { events: recent.filter(({ key }) => key.startsWith(prefix)), reached: log.revision() }
        : log.read(prefix, position);
      position = Math.max(position, reached);
      return events;
    };
    const wait = () => this.#wait(prefix, signal);
    return {
      // Nothing that concerns an idle watch has happened since: it is as far as the log.
      get revision() {
        return idle ? Math.max(position, log.revision()) : position;
      },
      async *[Symbol.asyncIterator]() {
        while (!signal.aborted) {
          const events = next();
          if (events.length > 0) yield events;
          else if (position >= log.revision()) {
            idle = true;
            await wait();
            idle = false;
          }
        }
      },
    };
  }

  #wait(prefix: string, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal.aborted) return resolve();
      const waiter = {
        prefix,
        wake: () => {
          this.#waiting.delete(waiter);
          signal.removeEventListener("abort", waiter.wake);
          resolve();
        },
      };
      this.#waiting.add(waiter);
      signal.addEventListener("abort", waiter.wake, { once: true });
    });
  }
}
