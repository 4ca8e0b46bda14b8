// hawser-exec, asked by hand: what it refuses, and when it begins nothing.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import {
  type FileHandle,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  readlink,
  rm,
  rmdir,
  stat,
  writeFile,
} from "node:fs/promises";
import { Socket } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import { eventually } from "@hawser/testing";
import { closeQuietly } from "../../packages/runtime/src/native/libc.ts";
import { mount, unmount } from "../../packages/runtime/src/native/mount.ts";
import { openPipe, readable } from "../../packages/runtime/src/native/pipe.ts";
import { identify } from "../../packages/runtime/src/native/process-id.ts";
import { Reaper } from "../../packages/runtime/src/native/reaper.ts";
import { type SealedProgram, sealProgram } from "../../packages/runtime/src/native/sealed.ts";
import { openSocketPair } from "../../packages/runtime/src/native/socket.ts";
import { openToken } from "../../packages/runtime/src/native/token.ts";
import { type Porter, startPorter } from "../../packages/runtime/src/oci/exec-porter.ts";
import { ask, fields, framed, never, program } from "./support/exec-helper.ts";
import { textOf } from "./support/session.ts";

describe("hawser-exec, asked by hand", { timeout: 60_000 }, () => {
  let folder: string;
  let reaper: Reaper;
  let sealed: SealedProgram;
  let porter: Porter;
  let nothing: FileHandle;
  let us: string[];
  const stack = new AsyncDisposableStack();
  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "hawser-helper-"));
    stack.defer(() => rm(folder, { recursive: true, force: true }));
    nothing = stack.use(await open("/dev/null"));
    reaper = stack.use(new Reaper());
    sealed = stack.use(await sealProgram(program, "hawser-exec"));
    porter = stack.use(await startPorter({ reaper }, sealed.path));
    us = ["id=it", `init=${process.pid}`, `start=${(await identify(process.pid))?.startTime}`, "arg=true"];
  });
  after(() => stack.disposeAsync());
  const words = async (request: Buffer) => (await ask(porter, request, nothing.fd)).said;

  it("refuses a request it does not understand to the last letter", async () => {
    assert.equal(await words(framed("")), "Frequest of 0 bytes: Argument list too long\0");
    assert.match(await words(framed("", 9 * 1024 * 1024)), /^Frequest of 9437184 bytes/);
    assert.equal(await words(framed("arg=true")), "Frequest: Invalid argument\0");
    assert.equal(await words(framed("arg=true\0", 100)), "", "one that breaks off");
    assert.match(await words(fields(...us, "uidd=0")), /^Ffield `uidd=0`/);
    assert.match(await words(fields(...us, "uid=0x")), /^Fnumber `0x`/);
    assert.match(await words(fields(...us, "uid=")), /^Fnumber ``/);
    assert.match(await words(fields("id=it", "arg=true")), /^Frequest: Invalid/);
  });

  it("begins nothing without the token, which the runtime may have taken back", async () => {
    const request = fields(...us, `group=${folder}/made`);
    assert.deepEqual(await ask(porter, request, nothing.fd, true), { said: "", stdout: "" });
    await assert.rejects(stat(path.join(folder, "made")), { code: "ENOENT" });
  });

  it("begins nothing for a runtime that was killed before the exec's group was there to be found", async () => {
    const [made, fifo] = ["group", "fifo"].map((name) => path.join(folder, name)) as [string, string];
    await promisify(execFile)("mkfifo", [fifo]);
    const { ours, theirs } = openSocketPair("stream");
    const { read, write } = openPipe();
    using token = openToken();
    assert.ok(await porter.enter([nothing.fd, write, write, theirs, token.fd], never));
    closeQuietly(theirs, write);
    const control = new Socket({ fd: ours });
    control.write(fields(...us, `group=${made}`, `freezer=${fifo}`));
    const [said] = (await once(control, "data")) as [Buffer];
    assert.equal(said.toString(), "B");
    const opening = open(fifo, "w"); // it comes open when the waiter looks whether the container is paused, and then waits for us
    const paused = await opening;
    control.destroy();
    await once(control, "close");
    await paused.close();
    assert.equal(await textOf(readable(read)), "", "the waiter has ended");
    await assert.rejects(stat(made), { code: "ENOENT" });
  });

  it("removes the exec's group when the command has left nobody in it, and says so", async () => {
    const root = path.join(folder, "cgroup2");
    await mkdir(root);
    mount({ source: "none", target: root, type: "cgroup2" });
    const group = path.join(root, `hawser-by-hand-${process.pid}`);
    try {
      const run = (script: string) =>
        ask(porter, fields(...us.slice(0, 3), "arg=/bin/sh", "arg=-c", `arg=${script}`, `group=${group}`), nothing.fd);
      assert.deepEqual(await run("exit 3"), { said: "BR\x03", stdout: "" });
      await assert.rejects(stat(group), { code: "ENOENT" });
      const { said, stdout } = await run("sleep 1000 >&- 2>&- & echo $!");
      try {
        assert.equal(said, "BX\0");
        assert.equal(await readFile(path.join(group, "cgroup.procs"), "utf8"), stdout);
      } finally {
        process.kill(Number(stdout), "SIGKILL");
      }
      await eventually(async () => (await readFile(path.join(group, "cgroup.procs"), "utf8")) === "");
      await eventually(() =>
        rmdir(group).then(
          () => true,
          () => false,
        ),
      );
    } finally {
      await unmount(root);
    }
  });

  it("takes nothing that a container says by the pipe of its words for the waiter's own", async () => {
    const fifo = path.join(folder, "joined");
    await promisify(execFile)("mkfifo", [fifo]);
    const saying = async (words: string) => {
      const asked = ask(
        porter,
        fields(...us.slice(0, 3), "arg=/bin/sh", "arg=-c", "arg=exit 3", `cgroup=${fifo}`),
        nothing.fd,
      );
      // Its usher waits for a reader of the file that it joins a cgroup by; who may trace it could open its descriptors.
      const pipe = await wordsOfUsher();
      await using stolen = await open(pipe, "w");
      await stolen.write(words);
      await using _reader = await open(fifo);
      return (await asked).said;
    };
    for (const end of ["R\0", "X\0", "TR\0", "T", "Fwithout an end", "\0", "x".repeat(10_000)]) {
      assert.equal(await saying(end), "BX\x03", JSON.stringify(end.slice(0, 20)));
    }
    assert.equal(await saying("Fno\0R\0X\0Fno\0"), "BFno\0X\x03");
  });

  it("enters no process but the recorded one", async () => {
    const [id = "", init = "", , arg = ""] = us;
    const gone = "BFthe container `it` is not running\0";
    assert.equal(await words(fields(id, init, "start=1", arg)), gone, "its number is another's by now");
    assert.equal(await words(fields(id, "init=4194303", "start=1", arg)), gone, "nobody has its number");
  });

  it("takes no filter that is cut short, and no place that is none", async () => {
    const filter = path.join(folder, "filter");
    await writeFile(filter, Buffer.alloc(15));
    assert.equal(await words(fields(...us, `seccomp=${filter}`)), "BFseccomp filter: Invalid argument\0");
    await writeFile(filter, "");
    assert.equal(await words(fields(...us, `seccomp=${filter}`)), "BFseccomp filter: Invalid argument\0");
    assert.match(await words(fields(...us, `seccomp=${filter}.none`)), /No such file/);
    assert.equal(await words(fields(...us, "cgroup=/no/such")), "BFcould not join cgroup\0X\xff");
    assert.match(await words(fields(...us, `group=${folder}/none`)), /No such file/);
  });
});

/** The pipe of the one usher there is, when it is there. */
async function wordsOfUsher(): Promise<string> {
  let found = "";
  await eventually(async () => {
    const named = async (pid: string) =>
      (await readFile(`/proc/${pid}/comm`, "utf8").catch(() => "")) === "hawser-exec\n";
    for (const porter of await childrenOf(String(process.pid))) {
      if (!(await named(porter))) continue;
      for (const waiter of await childrenOf(porter)) {
        for (const usher of await childrenOf(waiter)) {
          const place = `/proc/${usher}/fd/3`;
          if ((await readlink(place).catch(() => "")).startsWith("pipe:")) found = place;
        }
      }
    }
    return found !== "";
  });
  return found;
}

async function childrenOf(pid: string): Promise<string[]> {
  const threads = await readdir(`/proc/${pid}/task`).catch(() => []);
  const texts = threads.map((thread) => readFile(`/proc/${pid}/task/${thread}/children`, "utf8").catch(() => ""));
  return (await Promise.all(texts)).join(" ").split(" ").filter(Boolean);
}
