import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { test } from "node:test";
import { endWorkers } from "./half-made.ts";
import { workingOn } from "./native/worker.ts";

test("endWorkers: ends what was started for an object, and what that has started; nobody who merely names it", async () => {
  const id = randomBytes(32).toString("hex");
  const children: ChildProcess[] = [];
  const start = async (script: string, args: string[], env: Record<string, string>) => {
    const child = spawn("sh", ["-c", `echo up; ${script}`, ...args], {
      env: { PATH: process.env.PATH, ...env },
      stdio: ["ignore", "pipe", "ignore"],
    });
    children.push(child);
    await once(child.stdout, "data");
    return child;
  };
  try {
    const worker = await start("sleep 1000 & wait", [], workingOn(id));
    const another = await start(
      "exec sleep 1000",
      [],
      workingOn(id.replace(/.$/, (last) => (last === "0" ? "1" : "0"))),
    );
    const reader = await start("exec sleep 1000", [id, `/somewhere/${id}`], { CNI_CONTAINERID: id });
    // What the worker has started holds its output: that ends when all have.
    const ended = Promise.all([once(worker, "exit"), once(worker.stdout ?? worker, "close")]);
    await endWorkers(id);
    assert.equal(worker.killed, false);
    await ended;
    assert.equal(worker.signalCode, "SIGKILL");
    for (const child of [another, reader]) assert.deepEqual([child.exitCode, child.signalCode], [null, null]);
  } finally {
    for (const child of children) {
      child.stdout?.destroy();
      if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) process.kill(child.pid);
    }
  }
});
