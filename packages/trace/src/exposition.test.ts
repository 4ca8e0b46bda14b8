import assert from "node:assert/strict";
import { test } from "node:test";
import { exposition } from "./exposition.ts";
import { watchProcess } from "./process-metrics.ts";

test("families, with what is special escaped", () => {
  const text = exposition([
    { name: "a_total", help: "One\nline, one \\.", type: "counter", samples: [{ value: 1 }] },
    {
      name: "b",
      help: "B.",
      type: "gauge",
      samples: [{ labels: { x: 'q"\\\n', y: "é" }, value: Number.POSITIVE_INFINITY }],
    },
    { name: "c", help: "C.", type: "gauge", samples: [] },
  ]);
  assert.equal(
    text,
    [
      "# HELP a_total One\\nline, one \\\\.",
      "# TYPE a_total counter",
      "a_total 1",
      "# HELP b B.",
      "# TYPE b gauge",
      'b{x="q\\"\\\\\\n",y="é"} +Inf',
      "# HELP c C.",
      "# TYPE c gauge",
      "",
    ].join("\n"),
  );
});

test("this process: memory, files, and a loop that was held up, once", async () => {
  using watched = watchProcess();
  const read = async () =>
    new Map((await watched.families()).map(({ name, samples }) => [name, samples[0]?.value ?? -1]));
  const turns = async (milliseconds: number) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    setTimeout(resolve, milliseconds);
    await promise;
  };
  await read();
  await turns(50); // a first look sets the time from which the next is measured
  const until = performance.now() + 150;
  while (performance.now() < until); // nothing else runs
  await turns(50);
  const held = await read();
  assert.ok(
    (held.get("nodejs_eventloop_lag_max_seconds") ?? 0) > 0.1,
    String(held.get("nodejs_eventloop_lag_max_seconds")),
  );
  assert.ok((held.get("process_resident_memory_bytes") ?? 0) > 10e6);
  assert.ok((held.get("process_open_fds") ?? 0) > 2);
  assert.ok(Math.abs((held.get("process_start_time_seconds") ?? 0) - Date.now() / 1000) < 600);
});
