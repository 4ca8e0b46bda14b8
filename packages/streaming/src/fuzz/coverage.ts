import { Session } from "node:inspector";

/** Which blocks of this package's code have been run. */
export interface Coverage extends Disposable {
  /** How many blocks ran since the last call that had never run before. */
  fresh(): number;
}

interface CoverageResult {
  result: { url: string; functions: { ranges: { startOffset: number; endOffset: number; count: number }[] }[] }[];
}

/** Has V8 count, block by block. Slows the process. */
export function measureCoverage(): Coverage {
  const session = new Session();
  session.connect();
  session.post("Profiler.enable");
  session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
  const seen = new Set<string>();
  return {
    fresh() {
      let found = 0;
      session.post("Profiler.takePreciseCoverage", (_error: Error | null, coverage: object) => {
        for (const { url, functions } of (coverage as CoverageResult).result) {
          if (!url.includes("/packages/streaming/src/") || url.includes("/fuzz/")) continue;
          for (const { ranges } of functions) {
            for (const { startOffset, endOffset, count } of ranges) {
              if (count === 0) continue;
              const block = `${url}:${startOffset}-${endOffset}`;
              if (seen.has(block)) continue;
              seen.add(block);
              found++;
            }
          }
        }
      });
      return found;
    },
    [Symbol.dispose]: () => session.disconnect(),
  };
}
