import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { Worker } from "node:worker_threads";
import { makeDirectoryInRoot, readInRoot } from "./in-root.ts";
import { closeQuietly } from "./libc.ts";
import { lockFile } from "./lock.ts";
import { openPipe, readable } from "./pipe.ts";
import { identify, isAlive, signalProcess } from "./process-id.ts";
import { becomeSubreaper, exitCode, Reaper } from "./reaper.ts";
import { run, runOrThrow, spawn } from "./spawn.ts";

describe("spawn and reap", () => {
  let reaper: Reaper;
  before(() => {
    reaper = new Reaper();
  });
  after(() => reaper[Symbol.dispose]());
  const shell = (script: string, more = {}) => run({ reaper }, { path: "/bin/sh", args: ["-c", script], ...more });

  it("gives outputs and the exit code", async () => {
    assert.deepEqual(await shell("echo out; echo err >&2; exit 3"), { code: 3, stdout: "out\n", stderr: "err\n" });
    assert.equal((await shell("kill -9 $$")).code, 137);
    assert.equal((await shell("cat", { input: "given" })).stdout, "given");
    const large = "x".repeat(300_000);
    assert.equal((await shell("cat", { input: large })).stdout, large, "more than a pipe holds");
    await assert.rejects(shell("cat", { input: large.repeat(4) }), /1200000 bytes of input are too many/);
    assert.equal((await shell("pwd", { cwd: "/" })).stdout, "/\n");
  });

  it("keeps a megabyte of an output and reads the rest", async () => {
    const { stdout, code } = await shell("head -c 3000000 /dev/zero");
    assert.equal(code, 0);
    assert.ok(stdout.length >= 1024 * 1024 && stdout.length < 1024 * 1024 + 70_000);
  });

  it("leaves no descriptor and no ignored signal to its children", async () => {
    assert.equal((await shell("ls /proc/self/fd")).stdout, "0\n1\n2\n3\n", "3 is ls' own");
    const { stdout } = await shell("grep -E 'SigIgn|SigBlk' /proc/self/status");
    // 32 and 33 are libc's own, which its posix_spawn ignores and its start takes back.
    assert.match(stdout, /SigBlk:\t0+\nSigIgn:\t0{7}[01]80000000\n/);
  });

  it("says what could not be started", () => {
    assert.throws(() => spawn({ reaper }, { path: "/no/such/program", args: [], stdio: [] }), { code: "ENOENT" });
  });

  it("kills on abort, and throws a failure's own words", async () => {
    const signal = AbortSignal.timeout(50);
    await assert.rejects(shell("sleep 5", { signal }), { name: "TimeoutError" });
    const failing = runOrThrow({ reaper }, { path: "/bin/sh", args: ["-c", "echo why >&2; exit 1"] });
    await assert.rejects(failing, /why/);
  });

  it("waits for many at once, and for one that has ended before", async () => {
    const codes = await Promise.all(Array.from({ length: 20 }, (_, n) => shell(`exit ${n}`)));
    assert.deepEqual(
      codes.map(({ code }) => code),
      Array.from({ length: 20 }, (_, n) => n),
    );
    assert.equal(await reaper.wait(2 ** 22 - 1), 255, "no child of ours");
  });

  it("keeps the process going for a child that is waited for, and not for one that is only watched", async () => {
    // Of its own it has no other hold: SIGCHLD's is none, and what else would be is not imported.
    const program = `
      import { spawn } from "${import.meta.dirname}/spawn.ts";
      import { Reaper } from "${import.meta.dirname}/reaper.ts";
      const reaper = new Reaper();
      const start = (time) => spawn({ reaper: { wait: () => undefined } }, { path: "/bin/sleep", args: [time], stdio: [-1, -1, -1] }).pid;
      const long = start("100");
      process.once("exit", () => process.kill(long));
      reaper.watch(long).then(() => console.log("never"));
      reaper.wait(start("0.2")).then(() => console.log("waited"));`;
    const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", program], {
      timeout: 20_000,
    });
    assert.equal(stdout, "waited\n");
  });

  it("lets those go whom it has waited for, and orphans nobody waits for", async () => {
    becomeSubreaper();
    const { stdout } = await shell("sleep 0 >/dev/null 2>&1 & echo $$ $!");
    const signal = AbortSignal.timeout(10_000);
    for (const pid of stdout.trim().split(" ")) {
      while (existsSync(`/proc/${pid}`)) await delay(5, undefined, { signal });
    }
  });

  it("reaps more than end before it can look", async () => {
    const children = Array.from({ length: 400 }, (_, n) =>
      spawn({ reaper }, { path: "/bin/sh", args: ["-c", `exit ${n % 256}`], stdio: [-1, -1, -1] }),
    );
    const state = async (pid: number) =>
      /\) (\S)/.exec(await readFile(`/proc/${pid}/stat`, "latin1").catch(() => ""))?.[1];
    // All have ended before any is looked at again, as on a machine that is busy.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);
    assert.deepEqual(
      await Promise.all(children.map(({ exited }) => exited)),
      children.map((_, n) => n % 256),
    );
    const signal = AbortSignal.timeout(10_000);
    for (const { pid } of children) while ((await state(pid)) === "Z") await delay(5, undefined, { signal });
  });

  it("lets many orphans go at once", async () => {
    becomeSubreaper();
    const { stdout } = await shell("for n in $(seq 40); do (sleep 0 >/dev/null 2>&1 & echo $!); done");
    const pids = stdout.trim().split("\n");
    assert.equal(pids.length, 40);
    const signal = AbortSignal.timeout(20_000); // one after the other they would take 40 s
    for (const pid of pids) while (existsSync(`/proc/${pid}`)) await delay(5, undefined, { signal });
  });

  it("leaves a thread's child to the thread, however long that is kept from looking", async () => {
    // It ends at once, and its thread looks when a zombie of nobody's would have been reaped long ago.
    const program = `
      const { spawn } = require("node:child_process");
      const { parentPort } = require("node:worker_threads");
      spawn("/bin/true", { stdio: "ignore" }).on("exit", (code) => parentPort.postMessage(code));
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1800);`;
    const thread = new Worker(program, { eval: true });
    try {
      assert.deepEqual(await once(thread, "message", { signal: AbortSignal.timeout(20_000) }), [0]);
    } finally {
      await thread.terminate();
    }
  });

  it("signals exactly the process it knows", async () => {
    const child = spawn({ reaper }, { path: "/bin/sleep", args: ["100"], stdio: [-1, -1, -1] });
    const id = await identify(child.pid);
    assert.ok(id && (await isAlive(id)));
    assert.equal(await signalProcess({ ...id, startTime: "1" }, 9), false, "another process with the same number");
    assert.equal(await signalProcess(id, 9), true);
    assert.equal(await child.exited, 137);
    assert.deepEqual([await isAlive(id), await signalProcess(id, 9)], [false, false]);
  });

  it("makes real pipes", async () => {
    const { read, write } = openPipe();
    const { stdout } = await shell("true");
    assert.equal(stdout, "");
    const child = spawn(
      { reaper },
      { path: "/bin/sh", args: ["-c", "echo again > /dev/stdout"], stdio: [-1, write, -1] },
    );
    closeQuietly(write);
    let text = "";
    for await (const chunk of readable(read)) text += chunk;
    assert.deepEqual([text, await child.exited], ["again\n", 0]);
  });
});

for (const [code, status, want] of [
  [1, 0, 0],
  [1, 3, 3],
  [1, 255, 255],
  [2, 9, 137],
  [3, 11, 139],
] as const) {
  it(`exitCode: si_code ${code} with si_status ${status} is ${want}`, () => assert.equal(exitCode(code, status), want));
}

describe("inside a root", () => {
  let root: string;
  before(async () => {
    root = await mkdtemp(path.join(tmpdir(), "hawser-root-"));
    await mkdir(path.join(root, "etc"));
    await writeFile(path.join(root, "etc/passwd"), "inside");
    await symlink("/etc/passwd", path.join(root, "absolute"));
    await symlink("../../../../../../etc/passwd", path.join(root, "etc/up"));
    await symlink("/", path.join(root, "top"));
  });
  after(() => rm(root, { recursive: true }));

  for (const name of ["/etc/passwd", "/absolute", "/etc/up", "/top/etc/passwd", "/../../etc/passwd"]) {
    it(`reads ${name} of the root, not of the node`, async () =>
      assert.equal(await readInRoot(root, name, 100), "inside"));
  }

  it("knows what is not there, too large, or no file", async () => {
    assert.equal(await readInRoot(root, "/none", 100), undefined);
    await assert.rejects(readInRoot(root, "/etc/passwd", 3), /larger than 3 bytes/);
    await assert.rejects(readInRoot(root, "/etc", 100), /not a file/);
    execFileSync("mkfifo", [path.join(root, "pipe")]);
    await assert.rejects(readInRoot(root, "/pipe", 100), /not a file/);
  });

  it("makes directories in the root, through its links and never out of it", async () => {
    makeDirectoryInRoot(root, "/top/made/here");
    assert.ok((await stat(path.join(root, "made/here"))).isDirectory());
    makeDirectoryInRoot(root, "/made/here");
    assert.throws(() => makeDirectoryInRoot(root, "/a/../../x"), /working directory/);
    assert.throws(() => makeDirectoryInRoot(root, "/etc/passwd/x"));
    assert.equal(await readFile(path.join(root, "etc/passwd"), "utf8"), "inside");
  });
});

it("lockFile: one holder at a time", async () => {
  const directory = await mkdtemp(path.join(tmpdir(), "hawser-lock-"));
  const file = path.join(directory, "lock");
  try {
    await using _first = await lockFile(file, "the root");
    await assert.rejects(lockFile(file, "the root"), /the root is in use/);
  } finally {
    await using _again = await lockFile(file, "the root");
    await rm(directory, { recursive: true });
  }
});
