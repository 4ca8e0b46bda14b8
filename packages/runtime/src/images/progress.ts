import type { Logger } from "@hawser/trace";
import type { Arrival } from "./arrival.ts";

/** How often a pull that takes long says in the log how far it is, milliseconds. */
export const progressInterval = 10_000;

/** How far a pull is: what it has to transfer, and what has come of it. */
export class Progress implements Disposable {
  readonly #arrivals = new Map<string, Arrival>();
  readonly #expected = new Map<string, number>();
  readonly #timer: NodeJS.Timeout;

  /** Says so until it is disposed, from the first interval on: a short pull has but its end in the log. */
  constructor({ log }: { log: Logger }, name: string) {
    this.#timer = setInterval(() => log.info("image is being pulled", { name, ...this.#seen() }), progressInterval);
    this.#timer.unref();
  }

  /** A blob that is needed, bytes. */
  expect({ digest, size }: { digest: string; size: number }): void {
    this.#expected.set(digest, size);
  }

  /** Its transfer, or the one that begins in its place. */
  begun({ digest }: { digest: string }, arrival: Arrival): void {
    this.#arrivals.set(digest, arrival);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #seen() {
    const arrivals = [...this.#arrivals.values()];
    return {
      blobs: this.#expected.size,
      transferred: arrivals.filter(({ whole }) => whole).length,
      bytes: [...this.#expected.values()].reduce((sum, size) => sum + size, 0),
      transferredBytes: arrivals.reduce((sum, { size }) => sum + size, 0),
    };
  }
}
