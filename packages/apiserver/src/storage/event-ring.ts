import type { StorageEvent } from "./storage.ts";

/** The newest events kept in memory; a watch that is further behind reads the log. */
const maxEvents = 1000;
/** Characters of values they may hold together. */
const maxCharacters = 32 * 1024 * 1024;

/** The newest events, in order and without a gap. */
export class EventRing {
  #events: StorageEvent[] = [];
  #characters = 0;
  /** Everything after this revision is here. */
  #after: number;

  constructor(revision: number) {
    this.#after = revision;
  }

  push(event: StorageEvent): void {
    this.#events.push(event);
    this.#characters += weight(event);
    if (this.#events.length <= maxEvents && this.#characters <= maxCharacters) return;
    // Half at once, so that a full ring does not move its elements with each write.
    const dropped = this.#events.splice(0, Math.ceil(this.#events.length / 2));
    this.#characters -= dropped.reduce((sum, gone) => sum + weight(gone), 0);
    this.#after = dropped.at(-1)?.revision ?? this.#after;
  }

  /** The events after `revision`; undefined when some of them are no longer here. */
  since(revision: number): StorageEvent[] | undefined {
    if (revision < this.#after) return undefined;
    let low = 0;
    let high = this.#events.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#events[middle]?.revision ?? 0) <= revision) low = middle + 1;
      else high = middle;
    }
    return this.#events.slice(low);
  }
}

function weight({ value = "", previous = "" }: StorageEvent): number {
  return value.length + previous.length;
}
