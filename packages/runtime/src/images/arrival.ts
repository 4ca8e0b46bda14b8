/**
 * A file that is on its way: who writes it says how far it is, who reads it hears. Never more than one writer.
 * What has arrived is not checked; whether it was worth reading shows when it is whole.
 */
export class Arrival {
  readonly path: string;
  #size = 0;
  #state: "arriving" | "whole" | "broken" = "arriving";
  readonly #listeners = new Set<() => void>();

  constructor(path: string) {
    this.path = path;
  }

  /** One that is there. */
  static whole(path: string, size: number): Arrival {
    const arrival = new Arrival(path);
    arrival.grown(size);
    arrival.ended();
    return arrival;
  }

  /** Bytes that may be read. */
  get size(): number {
    return this.#size;
  }

  /** Whether `size` is all of it. */
  get whole(): boolean {
    return this.#state === "whole";
  }

  /** It has begun anew, or elsewhere: what was read so far counts for nothing, and nothing more comes. */
  get broken(): boolean {
    return this.#state === "broken";
  }

  grown(size: number): void {
    if (this.#state !== "arriving") return;
    this.#size = size;
    this.#tell();
  }

  ended(): void {
    if (this.#state !== "arriving") return;
    this.#state = "whole";
    this.#tell();
  }

  break(): void {
    if (this.#state !== "arriving") return;
    this.#state = "broken";
    this.#tell();
  }

  /** Calls `listener` after each change, until disposed. */
  watch(listener: () => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}
