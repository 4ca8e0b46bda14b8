/** A cache whose entries grow old and whose size is bounded: the oldest goes when it is full. */
export class BoundedCache<Value> {
  readonly #entries = new Map<string, { value: Value; expires: number }>();
  readonly #size: number;
  readonly #now: () => number;

  constructor(size: number, now: () => number = Date.now) {
    this.#size = size;
    this.#now = now;
  }

  get(key: string): Value | undefined {
    const entry = this.#entries.get(key);
    if (!entry) return undefined;
    if (entry.expires > this.#now()) return entry.value;
    this.#entries.delete(key);
    return undefined;
  }

  /** Keeps a value for `ttl` milliseconds. */
  set(key: string, value: Value, ttl: number): void {
    this.#entries.delete(key);
    const [oldest] = this.#entries.keys();
    if (this.#entries.size >= this.#size && oldest !== undefined) this.#entries.delete(oldest);
    this.#entries.set(key, { value, expires: this.#now() + ttl });
  }
}
