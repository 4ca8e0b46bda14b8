export interface HeartbeatOptions {
  /** Milliseconds of silence after which ping() is called; 0, or absent: never. */
  pingMs?: number;
  /** Milliseconds without use after which idle() is called, once; 0 for never. */
  idleMs: number;
  ping?(): void;
  idle?(): void;
  /** Called each tick, with the milliseconds since the one before: 5,000, `tickMs`, or less where a shorter time above asks for it. */
  tick?(elapsedMs: number): void;
  /** How often it looks at least; 0, or absent: every 5,000. */
  tickMs?: number;
}

/** How often a heartbeat looks, milliseconds. */
const usualTickMs = 5000;

/**
 * One timer for a connection: it counts ticks of silence instead of setting a timer per chunk.
 * What it measures is therefore late by up to one tick.
 */
export class Heartbeat implements Disposable {
  readonly #timer: NodeJS.Timeout;
  #silent = 0;
  #unused = 0;

  constructor({ pingMs = 0, idleMs, ping, idle, tick, tickMs = 0 }: HeartbeatOptions) {
    const every = Math.min(usualTickMs, ...[pingMs, idleMs, tickMs].filter((time) => time > 0));
    this.#timer = setInterval(() => {
      this.#silent += every;
      this.#unused += every;
      tick?.(every);
      if (pingMs > 0 && this.#silent >= pingMs) {
        this.#silent = 0;
        ping?.();
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
