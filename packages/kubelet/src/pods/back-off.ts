/** First and longest pause, milliseconds. Source: kubernetes pkg/kubelet/kubelet.go */
const first = 10_000;
const longest = 300_000;

interface Entry {
  pause: number;
  /** When the pause was set. */
  since: number;
}

/**
 * How long each thing (a container, an image) has to wait before it is tried again: 10 s, doubling to 5 min,
 * forgotten once nothing failed for 10 min.
 *
 * Source: kubernetes/client-go util/flowcontrol/backoff.go
 */
export class BackOff {
  readonly #entries = new Map<string, Entry>();
  readonly #now: () => number;

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** Milliseconds still to wait after a failure at `eventAt`; 0 when it may be tried now. */
  remaining(key: string, eventAt: number): number {
    const entry = this.#fresh(key, eventAt);
    return entry ? Math.max(0, eventAt + entry.pause - this.#now()) : 0;
  }

  /** Notes that it is tried now, after a failure at `eventAt`: the next pause is set. */
  next(key: string, eventAt: number): void {
    const entry = this.#fresh(key, eventAt);
    this.#entries.set(key, { pause: entry ? Math.min(entry.pause * 2, longest) : first, since: this.#now() });
  }

  /** The pause in force, milliseconds; 0 when there is none. */
  pause(key: string): number {
    return this.#entries.get(key)?.pause ?? 0;
  }

  forget(key: string): void {
    this.#entries.delete(key);
  }

  #fresh(key: string, eventAt: number): Entry | undefined {
    const entry = this.#entries.get(key);
    return entry && eventAt - entry.since <= 2 * longest ? entry : undefined;
  }
}

/** `10s`, `1m20s`, as Go prints a duration of whole seconds. */
export function durationText(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000);
  const minutes = Math.floor(seconds / 60);
  return minutes > 0 ? `${minutes}m${seconds % 60}s` : `${seconds}s`;
}
