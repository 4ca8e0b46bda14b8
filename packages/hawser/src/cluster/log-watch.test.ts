import assert from "node:assert/strict";
import { appendFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { readyInLog } from "./log-watch.ts";
import { clusterPaths, logFile } from "./paths.ts";

async function cluster() {
  const dir = await mkdtemp(join(tmpdir(), "hawser-log-"));
  const paths = clusterPaths(dir);
  await mkdir(paths.log);
  return { paths, log: logFile(paths, "kubelet"), [Symbol.asyncDispose]: () => rm(dir, { recursive: true }) };
}
const never = new AbortController().signal;

test("readyInLog: a line that is there already", async () => {
  await using c = await cluster();
  await writeFile(c.log, "I1122 main] hawser-kubelet ready port=10250\n");
  await readyInLog(c.paths, "kubelet", 0, never);
});

test("readyInLog: a line that comes later, in two writes", async () => {
  await using c = await cluster();
  await writeFile(c.log, "starting\nhawser-kub");
  const ready = readyInLog(c.paths, "kubelet", 0, never);
  await appendFile(c.log, "elet ready\n");
  await ready;
});

test("readyInLog: the line of an earlier run does not count", async () => {
  await using c = await cluster();
  const earlier = "hawser-kubelet ready\n";
  await writeFile(c.log, earlier);
  const controller = new AbortController();
  const ready = readyInLog(c.paths, "kubelet", earlier.length, controller.signal);
  await appendFile(c.log, "still starting\n");
  controller.abort(new Error("gave up"));
  await assert.rejects(ready, /gave up/);
});
