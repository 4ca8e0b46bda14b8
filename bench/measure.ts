/** What a row's runs gave: sorted samples in one unit. */
export interface Samples {
  readonly unit: Unit;
  readonly sorted: readonly number[];
}

export type Unit = "ms" | "MB/s" | "calls/s" | "MB" | "KB" | "%";

/** One contestant of a row. Throws what it throws: a row that cannot be measured says why. */
export interface Contestant {
  name: string;
  run(): Promise<number>;
}

export function samples(unit: Unit, values: readonly number[]): Samples {
  return { unit, sorted: [...values].sort((a, b) => a - b) };
}

export function median({ sorted }: Samples): number {
  return quantile(sorted, 0.5);
}

export function p90({ sorted }: Samples): number {
  return quantile(sorted, 0.9);
}

function quantile(sorted: readonly number[], q: number): number {
  if (sorted.length === 0) return Number.NaN;
  const at = (sorted.length - 1) * q;
  const below = sorted[Math.floor(at)] ?? Number.NaN;
  const above = sorted[Math.ceil(at)] ?? Number.NaN;
  return below + (above - below) * (at - Math.floor(at));
}

/** Milliseconds that `body` took. */
export async function timed(body: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await body();
  return performance.now() - start;
}

export interface Race {
  unit: Unit;
  runs: number;
  /** Runs of each contestant that warm caches and are not counted. */
  warmUp?: number;
  signal: AbortSignal;
}

/**
 * Lets the contestants run in turn, one run each, round after round, so that noise of the machine meets all alike.
 * A contestant that fails is out of this race; its error stands in its place.
 */
export async function race(
  contestants: readonly Contestant[],
  { unit, runs, warmUp = 3, signal }: Race,
): Promise<Map<string, Samples | Error>> {
  const values = new Map<string, number[]>(contestants.map(({ name }) => [name, []]));
  const failed = new Map<string, Error>();
  for (let round = 0; round < warmUp + runs; round++) {
    for (const { name, run } of contestants) {
      signal.throwIfAborted();
      if (failed.has(name)) continue;
      try {
        const value = await run();
        if (round >= warmUp) values.get(name)?.push(value);
      } catch (error) {
        failed.set(name, error instanceof Error ? error : new Error(String(error)));
      }
    }
  }
  return new Map(contestants.map(({ name }) => [name, failed.get(name) ?? samples(unit, values.get(name) ?? [])]));
}
