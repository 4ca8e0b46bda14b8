import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { Metrics, silentLogger } from "@hawser/trace";
import { CallCounts } from "./calls.ts";
import { serveMetrics } from "./serve.ts";

const nothing = { collect: () => [], log: silentLogger };

test("over a socket that is its owner's alone, beside the process's own figures", async () => {
  const folder = await mkdtemp(path.join(tmpdir(), "hawser-metrics-"));
  try {
    const calls = new CallCounts();
    const metrics = new Metrics("hawser_runtime");
    for (const code of [0, 0, 5] as const) {
      calls.record({ service: "runtime.v1.RuntimeService", method: "ExecSync", kind: "unary", code });
      metrics.record("ExecSync", 0.004, code !== 0);
    }
    const socket = path.join(folder, "m.sock");
    const collect = () => [...calls.families(), ...metrics.families()];
    await using served = await serveMetrics({ ...nothing, address: `unix://${socket}`, collect });
    assert.equal(served?.address, `unix://${socket}`);
    assert.equal((await stat(socket)).mode & 0o777, 0o600);
    const { status, type, body } = await ask(socket, "/metrics");
    assert.deepEqual([status, type], [200, "text/plain; version=0.0.4; charset=utf-8"]);
    const kind = 'grpc_method="ExecSync",grpc_service="runtime.v1.RuntimeService",grpc_type="unary"';
    for (const line of [
      `grpc_server_handled_total{grpc_code="OK",${kind}} 2`,
      `grpc_server_handled_total{grpc_code="NotFound",${kind}} 1`,
      'hawser_runtime_operations_total{operation="ExecSync"} 3',
      'hawser_runtime_operations_errors_total{operation="ExecSync"} 1',
      'hawser_runtime_operations_duration_seconds_bucket{operation="ExecSync",le="0.005"} 3',
    ])
      assert.ok(body.split("\n").includes(line), line);
    assert.match(body, /^process_resident_memory_bytes \d{8,}$/m);
    assert.match(body, /^nodejs_eventloop_lag_max_seconds \d/m);
    assert.equal((await ask(socket, "/")).status, 404);
    assert.equal((await ask(socket, "/metrics", "POST")).status, 405);
    await assert.rejects(serveMetrics({ ...nothing, address: `unix://${socket}` }), /in use by a running server/);
  } finally {
    assert.deepEqual(await readdir(folder), []);
    await rm(folder, { recursive: true });
  }
});

test("on loopback by TCP, nowhere else, and not without being asked", async () => {
  await using served = await serveMetrics({ ...nothing, address: "127.0.0.1:0" });
  assert.ok(served);
  assert.match(await (await fetch(served.address)).text(), /^process_open_fds \d+$/m);
  assert.equal(await serveMetrics({ ...nothing, address: "" }), undefined);
  await assert.rejects(serveMetrics({ ...nothing, address: "0.0.0.0:0" }), /loopback/);
  const taken = new URL(served.address).host;
  await assert.rejects(serveMetrics({ ...nothing, address: taken }), /cannot serve metrics on .*EADDRINUSE/);
});

test("the kinds of calls are bounded", () => {
  const calls = new CallCounts();
  for (let index = 0; index < 3000; index++)
    calls.record({ service: "s", method: `m${index}`, kind: "unary", code: 0 });
  assert.equal(calls.families()[0]?.samples.length, 2000);
});

function ask(socketPath: string, url: string, method = "GET") {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; type: string; body: string }>();
  const asked = request({ socketPath, path: url, method }, async (response) => {
    let body = "";
    for await (const chunk of response.setEncoding("utf8")) body += chunk;
    resolve({ status: response.statusCode ?? 0, type: response.headers["content-type"] ?? "", body });
  });
  asked.on("error", reject);
  asked.end();
  return promise;
}
