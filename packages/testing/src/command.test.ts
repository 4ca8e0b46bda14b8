import assert from "node:assert/strict";
import { test } from "node:test";
import { background, onTerminal } from "./background.ts";
import { must, run } from "./command.ts";
import { eventually } from "./eventually.ts";

const node = (script: string) => [process.execPath, "-e", script];

test("run: outputs apart, the exit code as a result", async () => {
  const result = await run(node("console.log('out'); console.error('err'); process.exitCode = 3"));
  assert.deepEqual([result.code, result.stdout, result.stderr], [3, "out\n", "err\n"]);
});

test("run: input is its stdin; without, stdin is empty", async () => {
  assert.equal((await run(["cat"], { input: "abc" })).stdout, "abc");
  assert.equal((await run(["cat"])).stdout, "");
});

test("run: an end by a signal is 128 and its number", async () => {
  assert.equal((await run(node("process.kill(process.pid, 'SIGTERM')"))).code, 143);
});

test("run: too slow is an error that holds what was said", async () => {
  await assert.rejects(run(node("console.log('so far'); setInterval(() => {}, 1000)"), { timeoutMs: 300 }), {
    message: /was not done after 300 ms\nstdout: so far/,
  });
});

test("run: too slow, though it has ended and only a child of its own keeps its outputs open", async () => {
  const command = ["sh", "-c", "sleep 1000 & echo $!"];
  const error = await run(command, { timeoutMs: 300 }).catch((error: Error) => error);
  assert.ok(error instanceof Error);
  assert.match(error.message, /was not done after 300 ms\nstdout: \d+\n/);
  process.kill(Number(/stdout: (\d+)/.exec(error.message)?.[1]), "SIGKILL");
});

test("must: throws with what was said", async () => {
  await assert.rejects(must(node("console.error('why'); process.exit(2)")), /exit code 2\nwhy/);
});

test("background: waits for what it says, and rejects when it ends without", async () => {
  await using echo = background(["cat"]);
  echo.write("hello\n");
  await echo.saw("hello");
  await using short = background(node("console.log('bye')"));
  await assert.rejects(short.saw("hello"), /it ended; it said:\nbye/);
});

test("background: disposing kills", async () => {
  let pid = 0;
  {
    await using sleeper = background(["sleep", "1000"]);
    pid = sleeper.pid;
  }
  assert.throws(() => process.kill(pid, 0), { code: "ESRCH" });
});

test("onTerminal: a terminal of the size asked for, and the exit code", async () => {
  await using shell = onTerminal(["sh"], { rows: 33, columns: 99 });
  shell.write("stty size; exit 4\n");
  await shell.saw("33 99");
  assert.deepEqual(await shell.exit, { code: 4, signal: null });
});

test("eventually: gives up with the last error as its cause", async () => {
  const look = () => {
    throw new Error("not yet");
  };
  await assert.rejects(eventually("a thing", look, { timeoutMs: 30, everyMs: 5 }), (err: Error) => {
    assert.match(err.message, /not within 30 ms: a thing/);
    assert.match(String(err.cause), /not yet/);
    return true;
  });
});
