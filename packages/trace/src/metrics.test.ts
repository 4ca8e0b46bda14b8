import assert from "node:assert/strict";
import { test } from "node:test";
import { Metrics } from "./metrics.ts";

test("operations are counted and timed, errors counted, and all written in Prometheus' form", async () => {
  let now = 0;
  const metrics = new Metrics("hawser_test", () => now);
  const taking = (milliseconds: number) => () => {
    now += milliseconds;
  };
  await metrics.measure("Exec", taking(4));
  await metrics.measure("Exec", taking(20_000));
  await assert.rejects(
    metrics.measure("Exec", () => Promise.reject(new Error("no"))),
    { message: "no" },
  );
  assert.deepEqual(metrics.read("Exec"), { total: 3, errors: 1 });
  assert.deepEqual(metrics.read("Attach"), { total: 0, errors: 0 });
  const lines = metrics.expose().split("\n");
  for (const line of [
    'hawser_test_operations_total{operation="Exec"} 3',
    'hawser_test_operations_errors_total{operation="Exec"} 1',
    'hawser_test_operations_duration_seconds_bucket{operation="Exec",le="0.001"} 1',
    'hawser_test_operations_duration_seconds_bucket{operation="Exec",le="0.005"} 2',
    'hawser_test_operations_duration_seconds_bucket{operation="Exec",le="10"} 2',
    'hawser_test_operations_duration_seconds_bucket{operation="Exec",le="+Inf"} 3',
    'hawser_test_operations_duration_seconds_sum{operation="Exec"} 20.004',
    'hawser_test_operations_duration_seconds_count{operation="Exec"} 3',
  ]) {
    assert.ok(lines.includes(line), line);
  }
});

test("a peer that makes up names does not grow the registry", () => {
  const metrics = new Metrics("t");
  for (let index = 0; index < 1000; index++) metrics.record(`op${index}`, 0, false);
  assert.deepEqual(metrics.read("other"), { total: 800, errors: 0 });
});
