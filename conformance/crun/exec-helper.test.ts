// hawser-exec in containers: what holds while it runs.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { open, readdir, readFile, readlink, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import { exitCode } from "@hawser/api";
import {
  CapabilitySchema,
  create,
  NamespaceMode,
  NamespaceOptionSchema,
  SecurityProfile_ProfileType as ProfileType,
  SecurityProfileSchema,
} from "@hawser/cri";
import { eventually, newMark } from "@hawser/testing";
import { libc } from "../../packages/runtime/src/native/libc.ts";
import { identify } from "../../packages/runtime/src/native/process-id.ts";
import { Reaper } from "../../packages/runtime/src/native/reaper.ts";
import { sealProgram } from "../../packages/runtime/src/native/sealed.ts";
import { killQuietly } from "../../packages/runtime/src/native/spawn.ts";
import { startPorter } from "../../packages/runtime/src/oci/exec-porter.ts";
import { cgroupOf, unified } from "./support/cgroups.ts";
import { ask, fields, program } from "./support/exec-helper.ts";
import { sh, startContainer, startTestRuntime, type TestRuntime } from "./support/runtime.ts";
import { openExec, readUntil, textOf } from "./support/session.ts";

const F_GET_SEALS = 1034;

describe("hawser-exec in containers", { timeout: 90_000 }, () => {
  let runtime: TestRuntime;
  let containerId: string;
  before(async () => {
    runtime = await startTestRuntime({ ociRuntime: "crun" });
    ({ containerId } = await startContainer(runtime.cri));
  });
  after(() => runtime?.[Symbol.asyncDispose]());

  const cgroup = async (controller: string, file: string, id = containerId) =>
    path.join(await cgroupOf(id, controller), file);
  /** On v2 an exec's own group is its only one, below its container's. */
  const membersOf = async (directory: string) => {
    const groups = unified ? (await readdir(directory)).filter((name) => name.startsWith("hawser-exec-")) : [""];
    const files = groups.map((group) => readFile(path.join(directory, group, "cgroup.procs"), "utf8").catch(() => ""));
    return (await Promise.all(files)).join("").split("\n").map(Number);
  };
  /** Processes of the helper below this one, by their parents. */
  const helpers = async (parent: number) => {
    const found: number[] = [];
    for (const name of await readdir("/proc")) {
      const line = await readFile(`/proc/${name}/stat`, "utf8").catch(() => "");
      const [, state, ppid] = /\(hawser-exec\) (\S) (\d+)/.exec(line) ?? [];
      if (state !== "Z" && ppid === String(parent)) found.push(Number(name));
    }
    return found;
  };
  /** Has a stopped porter an exec, in its socket or just taken from it? */
  const hasExec = async (pid: number) => {
    if ((await readdir(`/proc/${pid}/fd`)).length > 4) return true;
    const { stdout } = await promisify(execFile)("ss", ["-xpnH"]);
    const socket = stdout.split("\n").find((line) => line.includes(`pid=${pid},fd=3`));
    return socket !== undefined && !/^u_seq\s+\S+\s+0\s/.test(socket);
  };
  const porterPid = async () => {
    const [pid] = await helpers(process.pid);
    assert.ok(pid);
    return pid;
  };

  it("cannot be overwritten, nor looked into, and holds nothing of the command's", async () => {
    await using session = await openExec(runtime.cri, { containerId, cmd: ["cat"], stdin: true });
    const porter = await porterPid();
    const [waiter] = await eventually(async () => (await helpers(porter)).length > 0 && helpers(porter));
    assert.equal(await readlink(`/proc/${waiter}/exe`), "/memfd:hawser-exec (deleted)");
    const exe = await open(`/proc/${waiter}/exe`, "r");
    assert.equal(libc.fcntl(exe.fd, F_GET_SEALS, 0), 0xf, "sealed for good (CVE-2019-5736)");
    await exe.close();
    assert.equal((await stat(`/proc/${waiter}/fd`)).uid, 0);
    // When the command runs, its waiter has the control socket left, and the pipe from it.
    await eventually(async () => {
      const fds = await readdir(`/proc/${waiter}/fd`);
      const targets = await Promise.all(fds.map((fd) => readlink(`/proc/${waiter}/fd/${fd}`).catch(() => "")));
      return targets.every((target) => /^socket:|^pipe:/.test(target));
    });
    const outputs = Promise.all([textOf(session.stdout), textOf(session.stderr)]);
    await session.stdin?.close();
    assert.equal(exitCode(await session.status), 0);
    await outputs;
  });

  it("does not start in a directory outside of the container (CVE-2024-21626)", async () => {
    const reaper = new Reaper();
    const sealed = await sealProgram(program, "hawser-exec");
    const porter = await startPorter({ reaper }, sealed.path);
    const host = await open(tmpdir(), "r");
    try {
      const pid = Number((await readFile(await cgroup("pids", "cgroup.procs"), "utf8")).split("\n")[0]);
      const enter = (cwd: string) =>
        ask(
          porter,
          fields(
            ...["id=it", `init=${pid}`, `cwd=${cwd}`, "arg=pwd", "env=PATH=/bin:/usr/bin"],
            ...[`start=${start}`, unified ? `group=${group}` : `cgroup=${group}`],
          ),
          host.fd, // a descriptor of the host's, leaked
        );
      const start = (await identify(pid))?.startTime;
      const group = await cgroup("pids", unified ? "hawser-exec-by-hand" : "tasks");
      const end = unified ? "R" : "X"; // on v2 there is a group, of its own
      assert.deepEqual(await enter("/tmp"), { said: `B${end}\0`, stdout: "/tmp\n" });
      const outside = "chdir `/proc/self/fd/0`: outside of the container";
      assert.deepEqual(await enter("/proc/self/fd/0"), { said: `BF${outside}\0${end}\xff`, stdout: `${outside}\n` });
      for (let fd = 1; fd < 12; fd++) {
        assert.match((await enter(`/proc/self/fd/${fd}`)).said, /^BFchdir.*(Not a directory|No such file)/);
      }
    } finally {
      await host.close();
      await porter[Symbol.asyncDispose]();
      sealed[Symbol.dispose]();
      reaper[Symbol.dispose]();
    }
  });

  it("goes on when its porter is killed: what runs, runs; what comes, comes in", async () => {
    const cmd = ["sh", "-c", "echo ready; read answer; exit $answer"];
    await using session = await openExec(runtime.cri, { containerId, cmd, stdin: true });
    assert.ok(session.stdout);
    const reader = session.stdout[Symbol.asyncIterator]();
    await readUntil(reader, "ready");
    const porter = await porterPid();
    process.kill(porter, "SIGKILL");
    await eventually(async () => (await identify(porter)) === undefined);
    assert.deepEqual(await sh(runtime.cri, containerId, "echo in"), { stdout: "in\n", stderr: "", exitCode: 0 });
    assert.notEqual(await porterPid(), porter);
    const rest = Promise.all([textOf(session.stderr), reader.next()]);
    await session.stdin?.write(Buffer.from("42\n"));
    assert.equal(exitCode(await session.status), 42);
    await rest;
  });

  it("begins an exec that a killed porter had not begun, stdin and all", async () => {
    const porter = await porterPid();
    process.kill(porter, "SIGSTOP"); // it takes no more from its socket
    try {
      await using session = await openExec(runtime.cri, { containerId, cmd: ["cat"], stdin: true });
      const outputs = Promise.all([textOf(session.stdout), textOf(session.stderr)]);
      await session.stdin?.write(Buffer.from("still here"));
      await session.stdin?.close();
      await eventually(() => hasExec(porter));
      process.kill(porter, "SIGKILL");
      assert.equal(exitCode(await session.status), 0);
      assert.deepEqual(await outputs, ["still here", ""]);
    } finally {
      killQuietly(porter, "SIGKILL");
    }
    assert.notEqual(await porterPid(), porter);
  });

  it("gives a container that may trace processes nothing by it: no right, no descriptor, no directory", async () => {
    // A long way to look for a program on, so that there is time to look at who is looking.
    const longPath = Buffer.from(`/bin:/usr/bin${":/n".repeat(30_000)}`);
    const capabilities = create(CapabilitySchema, { addCapabilities: ["SYS_PTRACE"] });
    const namespaceOptions = create(NamespaceOptionSchema, { pid: NamespaceMode.CONTAINER });
    // Where the kernel has AppArmor, its default profile would keep the container from even looking.
    const apparmor = create(SecurityProfileSchema, { profileType: ProfileType.Unconfined });
    const traced = await startContainer(runtime.cri, {
      envs: [{ key: "PATH", value: longPath }],
      linux: { securityContext: { capabilities, namespaceOptions, apparmor } },
    });
    const { info } = await runtime.cri.runtime.containerStatus({ containerId: traced.containerId, verbose: true });
    const { pid: init } = JSON.parse(info.info ?? "{}") as { pid: number };
    const of = (pid: number, file: string) => readFile(`/proc/${pid}/${file}`, "utf8");
    const field = async (pid: number, name: string) =>
      new RegExp(`^${name}:\\s*(.*)$`, "m").exec(await of(pid, "status"))?.[1];
    const members = await cgroupOf(traced.containerId, "pids");
    /** A command that is a process of hawser-exec's still, stopped in its search; undefined when it was faster. */
    const caught = async (running: Promise<unknown>) => {
      let over = false;
      running.catch(() => undefined).finally(() => (over = true));
      while (!over) {
        for (const pid of await membersOf(members)) {
          if (pid === 0 || pid === init || (await of(pid, "comm").catch(() => "")) !== "hawser-exec\n") continue;
          const [, inside] = (await field(pid, "NSpid").catch(() => ""))?.split(/\s+/) ?? [];
          if (inside === undefined) continue; // an usher
          killQuietly(pid, "SIGSTOP");
          return { pid, inside };
        }
      }
      return undefined;
    };
    const search = () =>
      runtime.cri.runtime.execSync({ containerId: traced.containerId, cmd: ["no-such"], timeout: 20n });
    let running = search();
    let found = await caught(running);
    for (let attempt = 0; !found && attempt < 50; attempt++) {
      running = search();
      found = await caught(running);
    }
    assert.ok(found, "it was never seen");
    const { pid, inside } = found;
    try {
      await eventually(async () => (await field(pid, "State"))?.startsWith("T"));
      assert.equal(await of(pid, "comm"), "hawser-exec\n");
      const look = `cd /proc/${inside} && for n in fd/* cwd root exe; do echo $n $(readlink $n); done`;
      const { stdout, stderr } = await sh(runtime.cri, traced.containerId, look);
      const seen = stdout
        .replaceAll(/\[\d+\]/g, "")
        .split("\n")
        .filter(Boolean);
      assert.equal((await stat(`/proc/${pid}/fd/0`)).rdev, (await stat("/dev/null")).rdev); // by a mount that has no other place
      const streams = ["fd/0 /", "fd/1 pipe:", "fd/2 pipe:", "fd/3 pipe:"];
      assert.deepEqual(seen, [...streams, "cwd /", "root /", "exe /memfd:hawser-exec (deleted)"], stderr);
      for (const name of ["Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "Seccomp"]) {
        assert.equal(await field(pid, name), await field(init, name), name);
      }
      for (const name of ["mnt", "pid", "net", "ipc", "uts", "user", "cgroup"]) {
        assert.equal(await readlink(`/proc/${pid}/ns/${name}`), await readlink(`/proc/${init}/ns/${name}`), name);
      }
      const groups = async (id: number) =>
        (await of(id, "cgroup")).split("\n").filter((line) => !line.startsWith("0:"));
      assert.deepEqual(await groups(pid), await groups(init));
      // It may even keep the pipe for itself: the end of its command is told of all the same.
      const hold = `(exec 9>/proc/${inside}/fd/3 && echo held && exec sleep 600) 2>&1 </dev/null`;
      const held = `${hold} & while [ "$(cat /proc/$!/comm)" = sh ]; do sleep 0.02; done`; // until it sleeps
      const holding = runtime.cri.runtime
        .execSync({ containerId: traced.containerId, cmd: ["sh", "-c", held], timeout: 20n })
        .then(({ stdout }) => Buffer.from(stdout).toString());
      assert.equal(await holding, "held\n");
      const [root, itsRoot] = await Promise.all([init, pid].map((id) => stat(`/proc/${id}/root`)));
      assert.deepEqual([itsRoot?.dev, itsRoot?.ino], [root?.dev, root?.ino]);
      process.kill(pid, "SIGCONT");
      assert.equal((await running).exitCode, 127);
    } finally {
      killQuietly(pid, "SIGCONT");
      await runtime.cri.runtime.removePodSandbox({ podSandboxId: traced.podSandboxId }).catch(() => undefined);
      await running.catch(() => undefined);
    }
  });

  it("ends a command whose waiter is killed, and says that nobody knows", async () => {
    const mark = newMark();
    const running = runtime.cri.runtime.execSync({ containerId, cmd: ["sleep", mark], timeout: 60n });
    const refused = assert.rejects(running, /hawser-exec was killed before it could tell how the command ended/);
    const [waiter] = await eventually(async () => {
      const found = await helpers(await porterPid());
      return found.length > 0 && found;
    });
    const commands = `/proc/${waiter}/task/${waiter}/children`;
    const [command = ""] = await eventually(async () => {
      const children = (await readFile(commands, "utf8")).split(" ").filter(Boolean);
      const names = await Promise.all(children.map((pid) => readFile(`/proc/${pid}/comm`, "utf8").catch(() => "")));
      return names[0] === "sleep\n" && children; // no usher any more
    });
    const killed = performance.now();
    process.kill(Number(waiter), "SIGKILL");
    await refused;
    assert.ok(performance.now() - killed < 20_000, "not only with its time");
    await eventually(async () => (await identify(Number(command))) === undefined);
  });

  it("takes half a megabyte of arguments, and says when it is too much for the kernel", async () => {
    const args = Array.from({ length: 5 }, () => "x".repeat(100_000));
    const { stdout } = await runtime.cri.runtime.execSync({
      containerId,
      cmd: ["sh", "-c", 'echo "$# $1" | wc -c', "sh", ...args],
      timeout: 20n,
    });
    assert.equal(Buffer.from(stdout).toString().trim(), String("5 ".length + 100_000 + 1));
    const tooLong = { containerId, cmd: ["echo", "x".repeat(200_000)], timeout: 20n };
    await assert.rejects(runtime.cri.runtime.execSync(tooLong), /exec: Argument list too long/);
  });

  it("takes no NUL for more than a character", async () => {
    const cmd = ["echo", "a\0uid=0"];
    await assert.rejects(runtime.cri.runtime.execSync({ containerId, cmd, timeout: 20n }), {
      code: 3,
      message: /command has a NUL/,
    });
  });

  it("says as crun does that a container is paused, and what it may still do at its limit of processes", async () => {
    const freezer = await cgroup("freezer", unified ? "cgroup.freeze" : "freezer.state");
    const pids = await cgroup("pids", "pids.max");
    const answers: unknown[] = [];
    for (const config of [{}, { exec: { helper: false } }]) {
      await runtime.restart(config);
      await writeFile(freezer, unified ? "1" : "FROZEN");
      const paused = await sh(runtime.cri, containerId, "true").catch(String);
      await writeFile(freezer, unified ? "0" : "THAWED");
      await writeFile(pids, "1");
      const plain = await sh(runtime.cri, containerId, "echo alone");
      const forking = await sh(runtime.cri, containerId, "cat /dev/null; echo $?");
      await using session = await openExec(runtime.cri, { containerId, cmd: ["echo", "shown"], tty: true });
      const terminal = [await textOf(session.stdout), exitCode(await session.status)];
      await writeFile(pids, "max");
      answers.push([paused, plain, forking, terminal]);
    }
    await runtime.restart({});
    assert.deepEqual(answers[0], answers[1]);
    assert.match(String(answers[0]), /is paused/);
  });
});
