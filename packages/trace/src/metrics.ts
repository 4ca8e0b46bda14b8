import { exposition, type Family, type Sample } from "./exposition.ts";

/** Upper bounds of the latency buckets, seconds. */
const buckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
/** Operations one registry may know; a further name is counted under `other`, so that a peer cannot grow it. */
const maxOperations = 200;

interface Operation {
  total: number;
  errors: number;
  seconds: number;
  counts: number[];
}

/**
 * Counts and times a hop's operations, and writes them in Prometheus' text form.
 * `prefix` names the hop: `hawser_runtime`.
 */
export class Metrics {
  readonly #operations = new Map<string, Operation>();
  readonly #prefix: string;
  readonly #now: () => number;

  constructor(prefix: string, now: () => number = () => performance.now()) {
    this.#prefix = prefix;
    this.#now = now;
  }

  /** Runs `body`; counts it, times it, and counts its error if it throws. */
  async measure<T>(operation: string, body: () => Promise<T> | T): Promise<T> {
    const start = this.#now();
    let failed = true;
    try {
      const result = await body();
      failed = false;
      return result;
    } finally {
      this.record(operation, (this.#now() - start) / 1000, failed);
    }
  }

  record(operation: string, seconds: number, failed: boolean): void {
    const entry = this.#entry(operation);
    entry.total++;
    if (failed) entry.errors++;
    entry.seconds += seconds;
    const index = buckets.findIndex((bound) => seconds <= bound);
    if (index >= 0) entry.counts[index] = (entry.counts[index] ?? 0) + 1;
  }

  /** What was counted so far for one operation. */
  read(operation: string): { total: number; errors: number } {
    const { total = 0, errors = 0 } = this.#operations.get(operation) ?? {};
    return { total, errors };
  }

  /** Prometheus' text exposition format, version 0.0.4. */
  expose(): string {
    return exposition(this.families());
  }

  /** The same, to be written out with others. */
  families(): Family[] {
    const name = `${this.#prefix}_operations`;
    const all = [...this.#operations];
    const counter = (read: (entry: Operation) => number): Sample[] =>
      all.map(([operation, entry]) => ({ labels: { operation }, value: read(entry) }));
    return [
      {
        name: `${name}_total`,
        help: "Operations that have ended, by name.",
        type: "counter",
        samples: counter(({ total }) => total),
      },
      {
        name: `${name}_errors_total`,
        help: "Those of them that failed.",
        type: "counter",
        samples: counter(({ errors }) => errors),
      },
      {
        name: `${name}_duration_seconds`,
        help: "How long they took.",
        type: "histogram",
        samples: all.flatMap(([operation, entry]) => histogram({ operation }, entry)),
      },
    ];
  }

  #entry(operation: string): Operation {
    const known = this.#operations.get(operation);
    if (known) return known;
    if (this.#operations.size >= maxOperations && operation !== "other") return this.#entry("other");
    const fresh = { total: 0, errors: 0, seconds: 0, counts: [] };
    this.#operations.set(operation, fresh);
    return fresh;
  }
}

function histogram(labels: Record<string, string>, { total, seconds, counts }: Operation): Sample[] {
  let below = 0;
  const bounded = buckets.map((bound, index) => {
    below += counts[index] ?? 0;
    return { suffix: "_bucket", labels: { ...labels, le: String(bound) }, value: below };
  });
  return [
    ...bounded,
    { suffix: "_bucket", labels: { ...labels, le: "+Inf" }, value: total },
    { suffix: "_sum", labels, value: seconds },
    { suffix: "_count", labels, value: total },
  ];
}
