import assert from "node:assert/strict";
import { existsSync, readFileSync, readlinkSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { getPriority, tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { eventually } from "@hawser/testing";
import { silentLogger } from "@hawser/trace";
import { endWorkers } from "../../packages/runtime/src/half-made.ts";
import { closeQuietly } from "../../packages/runtime/src/native/libc.ts";
import { openStarter } from "../../packages/runtime/src/native/open-starter.ts";
import { openPipe, readable } from "../../packages/runtime/src/native/pipe.ts";
import { favourThisThread } from "../../packages/runtime/src/native/priority.ts";
import { becomeSubreaper, Reaper } from "../../packages/runtime/src/native/reaper.ts";
import { sealProgram } from "../../packages/runtime/src/native/sealed.ts";
import { run, start } from "../../packages/runtime/src/native/spawn.ts";
import { startStarter } from "../../packages/runtime/src/native/starter.ts";
import { protocol } from "../../packages/runtime/src/oci/exec-request.ts";
import { unifiedMount } from "../../packages/runtime/src/oci/view.ts";
import { program } from "./support/exec-helper.ts";
import { textOf } from "./support/session.ts";

describe("programs started by hawser-exec", { timeout: 60_000 }, () => {
  let reaper: Reaper;
  let sealed: string;
  let favoured: number;
  const greeting = `hawser-exec ${protocol}`;
  const mark = `starter-test-${process.pid}`;
  const stack = new AsyncDisposableStack();
  before(async () => {
    becomeSubreaper();
    favoured = favourThisThread();
    reaper = stack.use(new Reaper());
    sealed = stack.use(await sealProgram(program, "hawser-exec")).path;
    stack.use(await openStarter({ reaper, log: silentLogger, greeting, mark }, sealed));
    assert.ok(reaper.starter);
  });
  after(() => stack.disposeAsync());
  const shell = (script: string, more = {}) => run({ reaper }, { path: "/bin/sh", args: ["-c", script], ...more });

  it("are children of ours, with outputs, an exit code, a directory and an environment", async () => {
    assert.deepEqual(await shell("echo $PPID; echo err >&2; exit 3"), {
      code: 3,
      stdout: `${process.pid}\n`,
      stderr: "err\n",
    });
    assert.equal((await shell("kill -9 $$")).code, 137);
    assert.equal((await shell("cat", { input: "given" })).stdout, "given");
    assert.equal((await shell("pwd", { cwd: "/usr/bin" })).stdout, "/usr/bin\n");
    const { stdout } = await run({ reaper }, { path: "/usr/bin/env", args: [], env: { GIVEN: "a b" } });
    assert.match(stdout, /^PATH=.*\nGIVEN=a b\n$/);
  });

  it("have no descriptor, ignored signal, niceness or session of the runtime's", async () => {
    assert.equal((await shell("ls /proc/self/fd")).stdout, "0\n1\n2\n3\n", "3 is ls' own");
    const { stdout } = await shell("grep -E 'SigIgn|SigBlk' /proc/self/status; nice");
    // 32 and 33 are libc's own, which its posix_spawn ignored for the starter and any libc's start takes back.
    assert.match(stdout, /^SigBlk:\t0{16}\nSigIgn:\t0{7}[01]80000000\n0\n$/);
    assert.deepEqual((await starters()).map(getPriority), [favoured], "who starts them is favoured as we are");
    const session = (stat: string) => stat.split(") ")[1]?.split(" ")[3];
    const theirs = session((await shell("cat /proc/self/stat")).stdout);
    assert.notEqual(theirs, session(readFileSync("/proc/self/stat", "latin1")));
  });

  it("are started by the runtime itself when they are too large a request, or many descriptors", async () => {
    const large = { path: "/bin/sh", args: ["-c", `true ${"x".repeat(70_000)}; exit 4`], stdio: [] };
    assert.equal(await (await start({ reaper }, large)).exited, 4);
    const many = { path: "/bin/sh", args: ["-c", "echo >&8 && exit 5"], stdio: Array<number>(9).fill(-1) };
    assert.equal(await (await start({ reaper }, many)).exited, 5);
    await assert.rejects(start({ reaper }, { ...large, args: ["x".repeat(140_000)] }), { code: "E2BIG" });
  });

  it("get the descriptors they are given, in order, and we the end of what they write", async () => {
    const pipes = Array.from({ length: 6 }, () => openPipe());
    const stdio = [-1, -1, ...pipes.map(({ write }) => write)];
    const script = 'for fd in 2 3 4 5 6 7; do eval "echo $fd >&$fd"; done';
    const child = await start({ reaper }, { path: "/bin/sh", args: ["-c", script], stdio });
    closeQuietly(...pipes.map(({ write }) => write));
    const texts = await Promise.all(pipes.map(({ read }) => textOf(readable(read))));
    assert.deepEqual(texts, ["2\n", "3\n", "4\n", "5\n", "6\n", "7\n"]);
    assert.equal(await child.exited, 0);
  });

  it("say why they cannot be started, and leave nothing", async () => {
    const failing = (command: object) => start({ reaper }, { path: "/bin/true", args: [], stdio: [], ...command });
    await assert.rejects(failing({ path: "/no/such/program" }), { code: "ENOENT", syscall: "execve" });
    await assert.rejects(failing({ path: "/etc/passwd" }), { code: "EACCES" });
    await assert.rejects(failing({ cwd: "/no/such" }), { code: "ENOENT", syscall: "chdir" });
    await assert.rejects(failing({ sight: { namespace: 0 } }), { code: "EINVAL", syscall: "setns" });
    await assert.rejects(failing({ args: ["a\0b"] }), /a NUL among its arguments/);
    const aborted = AbortSignal.abort(new Error("not any more"));
    await assert.rejects(start({ reaper }, { path: "/bin/true", args: [], stdio: [] }, aborted), /not any more/);
    await eventually(async () => !(await children()).includes("(sh)") && !(await zombies()));
  });

  it("may be many at once, of which each has its own end", async () => {
    const codes = await Promise.all(Array.from({ length: 200 }, (_, n) => shell(`exit ${n}`)));
    assert.deepEqual(
      codes.map(({ code }) => code),
      Array.from({ length: 200 }, (_, n) => n),
    );
  });

  const hybrid = existsSync(unifiedMount) ? false : `a hybrid host is needed: ${unifiedMount} is not there`;
  it("see no v2 half of a hybrid host where they are not to", { skip: hybrid }, async () => {
    const before = readlinkSync("/proc/self/ns/mnt");
    const looking = { path: "/bin/sh", args: ["-c", `[ -z "$(ls ${unifiedMount})" ]`], stdio: [-1, -1, -1] };
    assert.equal(await (await start({ reaper }, looking)).exited, 1);
    assert.equal(await (await start({ reaper }, { ...looking, sight: "without unified" })).exited, 0);
    assert.notEqual((await shell(`ls ${unifiedMount}`)).stdout, "", "the host's is as it was");
    assert.equal(readlinkSync("/proc/self/ns/mnt"), before);
  });

  it("are started by another when theirs is killed, and who had asked is told", async () => {
    const killed = reaper.starter;
    const [pid] = await starters();
    assert.ok(pid);
    process.kill(pid, "SIGSTOP");
    const asked = start({ reaper }, { path: "/bin/true", args: [], stdio: [] });
    await delay(1100); // one that ends sooner than after a second is not followed by another
    process.kill(pid, "SIGKILL");
    await assert.rejects(asked, /hawser-exec has ended before it said whether it had started \/bin\/true/);
    await eventually(async () => reaper.starter !== undefined && reaper.starter !== killed);
    assert.equal((await shell("exit 5")).code, 5);
    assert.notDeepEqual(await starters(), [pid]);
  });

  it("do not begin once a later runtime has ended their starter, and another may be asked", async () => {
    const other = `${mark}-other`;
    const folder = await mkdtemp(path.join(tmpdir(), "hawser-starter-"));
    const starter = await startStarter({ reaper, greeting, mark: other }, sealed);
    try {
      const pid = (await starters()).at(-1) ?? 0;
      process.kill(pid, "SIGSTOP");
      const touching = (name: string) =>
        starter.start({ path: "/bin/touch", args: [path.join(folder, name)], stdio: [] });
      const asked = assert.rejects(touching("asked"), /hawser-exec has ended/);
      await endWorkers(other);
      await asked;
      await assert.rejects(touching("later"), { name: "NotAskedError" });
      assert.deepEqual(await readdir(folder), []);
    } finally {
      await starter[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    }
  });

  it("are killed when who wants them goes while they are being started", async () => {
    const [pid] = await starters();
    assert.ok(pid);
    process.kill(pid, "SIGSTOP");
    const gone = new AbortController();
    const asked = start({ reaper }, { path: "/bin/sleep", args: ["1000"], stdio: [-1, -1, -1] }, gone.signal);
    gone.abort(new Error("gone"));
    await assert.rejects(asked, /gone/);
    process.kill(pid, "SIGCONT");
    assert.equal((await shell("exit 6")).code, 6);
    await eventually(async () => !(await children()).includes("(sleep)"));
  });

  it("are not started by a program of another version, nor by one that says nothing", async () => {
    await assert.rejects(
      startStarter({ reaper, greeting: "hawser-exec 0", mark }, sealed),
      /of another version: make build/,
    );
    await assert.rejects(startStarter({ reaper, greeting, mark }, "/bin/true"), /it ended without a word/);
  });
});

/** The `stat` of each child of ours. */
async function children(): Promise<string> {
  const pids = (await readFile(`/proc/self/task/${process.pid}/children`, "latin1")).split(" ").filter(Boolean);
  return (await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/stat`, "latin1").catch(() => "")))).join("");
}

async function zombies(): Promise<boolean> {
  return / Z /.test(await children());
}

async function starters(): Promise<number[]> {
  const stats = (await children()).split("\n").filter((line) => line.includes("(hawser-start)"));
  return stats.map((line) => Number.parseInt(line, 10));
}
