import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { lockCluster } from "./lock.ts";

const folder = () => `/nowhere/${process.pid}/${Math.random()}`;

test("lockCluster: the second waits until the first lets go, and hears who it is", async () => {
  const dir = folder();
  const first = await lockCluster(dir);
  const told = Promise.withResolvers<string>();
  const second = lockCluster(dir, { waiting: told.resolve });
  assert.equal(await told.promise, String(process.pid));
  await first[Symbol.asyncDispose]();
  await using _held = await second;
});

test("lockCluster: many take turns, one at a time", async () => {
  const dir = folder();
  let inside = 0;
  const turn = async () => {
    await using _lock = await lockCluster(dir);
    inside++;
    assert.equal(inside, 1);
    await new Promise(setImmediate);
    inside--;
  };
  await Promise.all(Array.from({ length: 8 }, turn));
});

test("lockCluster: a holder that is killed holds nothing", async () => {
  const dir = folder();
  const script = `const { lockCluster } = await import(${JSON.stringify(import.meta.resolve("./lock.ts"))});
    await lockCluster(${JSON.stringify(dir)}); console.log("held"); setInterval(() => {}, 1000);`;
  const holder = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(holder.stdout, "data");
  const told = Promise.withResolvers<string>();
  const second = lockCluster(dir, { waiting: told.resolve });
  assert.equal(await told.promise, String(holder.pid));
  holder.kill("SIGKILL");
  await using _lock = await second;
});

test("lockCluster: abort ends the wait", async () => {
  const dir = folder();
  await using _first = await lockCluster(dir);
  const controller = new AbortController();
  const second = lockCluster(dir, { signal: controller.signal, waiting: () => controller.abort(new Error("enough")) });
  await assert.rejects(second, /enough/);
});
