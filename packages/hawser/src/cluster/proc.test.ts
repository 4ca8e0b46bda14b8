import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { test } from "node:test";
import { identify, isAlive, listenerOn, processesWith, startedAt, terminate } from "./proc.ts";

function child(script: string, env: NodeJS.ProcessEnv = {}) {
  const process_ = spawn(process.execPath, ["-e", script], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  return { process: process_, [Symbol.dispose]: () => void process_.kill("SIGKILL") };
}

test("identify: tells a process from another one with the same pid", async () => {
  const self = await identify(process.pid);
  assert.ok(self);
  assert.equal(await isAlive(self), true);
  assert.equal(await isAlive({ ...self, startTime: self.startTime - 1 }), false);
  assert.equal(await isAlive({ ...self, bootId: "another boot" }), false);
});

test("identify: undefined for no process", async () => {
  assert.equal(await identify(2 ** 22 + 1), undefined);
});

test("startedAt: a time near when the process began", async () => {
  const self = await identify(process.pid);
  assert.ok(self);
  const expected = Date.now() - process.uptime() * 1000;
  assert.ok(Math.abs((await startedAt(self)) - expected) < 2_000);
});

test("terminate: a process that ignores SIGTERM is killed after the grace", async () => {
  using stubborn = child("process.on('SIGTERM', () => {}); console.log('ready'); setInterval(() => {}, 1000)");
  const [first] = await once(stubborn.process.stdout, "data");
  assert.equal(String(first).trim(), "ready");
  const identity = await identify(stubborn.process.pid ?? 0);
  assert.ok(identity);
  const exited = once(stubborn.process, "exit");
  await terminate([identity], 50);
  assert.deepEqual(await exited, [null, "SIGKILL"]);
});

test("terminate: leaves a process alone that only has the pid", async () => {
  const self = await identify(process.pid);
  assert.ok(self);
  await terminate([{ ...self, startTime: 1 }], 50);
});

test("processesWith: finds processes by a variable of their environment, the whole of it", async () => {
  const value = `/tmp/${process.pid}`;
  using marked = child("console.log('ready'); setInterval(() => {}, 1000)", { HAWSER_TEST_MARK: value });
  await once(marked.process.stdout, "data");
  const found = await processesWith("HAWSER_TEST_MARK", value);
  assert.deepEqual(
    found.map(({ pid }) => pid),
    [marked.process.pid],
  );
  assert.deepEqual(await processesWith("HAWSER_TEST_MARK", value.slice(0, -1)), []);
});

test("listenerOn: names who listens on a port", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  assert.ok(address && typeof address === "object");
  assert.equal((await listenerOn(address.port))?.pid, process.pid);
  server.close();
  await once(server, "close");
  assert.equal(await listenerOn(address.port), undefined);
});
