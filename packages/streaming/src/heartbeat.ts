export interface HeartbeatOptions {
  /** Milliseconds of silence after which ping() is called; 0 for never. */
  pingMs: number;
  /** Milliseconds without use after which idle() is called, once; 0 for never. */
  idleMs: number;
  ping(): void;
  idle?(): void;
  /** Called each tick, with the milliseconds since the one before: 5,000, or less where a shorter time above asks for it. */
  tick?(elapsedMs: number): void;
}

/** How often a heartbeat looks, milliseconds. */
const tickMs = 5000;

/**
 * One timer for a connection: it counts ticks of silence instead of setting a timer per chunk.
 * What it measures is therefore late by up to one tick.
 */
export class Heartbeat implements Disposable {
  readonly #timer: NodeJS.Timeout;
  #silent = 0;
  #unused = 0;

  constructor({ pingMs, idleMs, ping, idle, tick }: HeartbeatOptions) {
    const every = Math.min(tickMs, pingMs || tickMs, idleMs || tickMs);
    this.#timer = setInterval(() => {
      this.#silent += every;
      this.#unused += every;
      tick?.(every);
      if (pingMs > 0 && this.#silent >= pingMs) {
        this.#silent = 0;
        ping();
      }
      if (idleMs > 0 && this.#unused >= idleMs) {
        this.#unused = Number.NEGATIVE_INFINITY;
        idle?.();
      }
    }, every);
    this.#timer.unref();
  }

  /** Something passed, either way. */
  heard(): void {
    this.#silent = 0;
  }

  /** Something passed that counts as use of the connection: not our own pings and their answers. */
  used(): void {
    this.#silent = 0;
    this.#unused = 0;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
