// A reporter of the test runner: at the end, the files that took the longest, for whoever has to keep `make test` short.
import { relative } from "node:path";
import type { TestEvent } from "node:test/reporters";

const shown = 12;

export default async function* slowest(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const took = new Map<string, number>();
  for await (const { type, data } of events) {
    if ((type !== "test:pass" && type !== "test:fail") || data.nesting > 0 || !data.file) continue;
    took.set(data.file, (took.get(data.file) ?? 0) + data.details.duration_ms);
  }
  const files = [...took].sort(([, a], [, b]) => b - a).slice(0, shown);
  if (files.length < 2) return;
  yield "the longest files, seconds:\n";
  for (const [file, ms] of files) yield `${(ms / 1000).toFixed(1).padStart(6)} ${relative(process.cwd(), file)}\n`;
}
