// What the runtime does for a container that has no tar: it makes and reads the archive itself, with the rights of the container's
// process and no more. The tests' image has none.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import { exitCode } from "@hawser/api";
import {
  CapabilitySchema,
  create,
  Int64ValueSchema,
  LinuxContainerSecurityContextSchema,
  MountSchema,
} from "@hawser/cri";
import { archiveCommandLine, tarArchive, tarEntry } from "@hawser/tar";
import { eventually } from "@hawser/testing";
import { sh, startContainer, startTestRuntime, type TestRuntime } from "./support/runtime.ts";
import { openExec, textOf } from "./support/session.ts";

const run = promisify(execFile);

describe("archives by the runtime", { timeout: 90_000 }, () => {
  let runtime: TestRuntime;
  let folder: string;
  let containerId: string;
  const stack = new AsyncDisposableStack();
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "hawser-archive-"));
    stack.defer(() => rm(folder, { recursive: true, force: true }));
    runtime = stack.use(await startTestRuntime());
    ({ containerId } = await startContainer(runtime.cri));
  });
  after(() => stack.disposeAsync());

  async function archive(path: string, { id = containerId, offset = 0 } = {}) {
    const cmd = archiveCommandLine({ verb: "create", path, offset });
    await using session = await openExec(runtime.cri, { containerId: id, cmd });
    const parts: Uint8Array[] = [];
    const take = async () => {
      for await (const chunk of session.stdout ?? []) parts.push(chunk);
    };
    const [stderr, status] = await Promise.all([textOf(session.stderr), session.status, take()]);
    return { bytes: Buffer.concat(parts), stderr, code: exitCode(status) };
  }

  async function extract(path: string, bytes: Buffer, { id = containerId, name = "tree" } = {}) {
    const cmd = archiveCommandLine({ verb: "extract", path, name, preserve: true });
    await using session = await openExec(runtime.cri, { containerId: id, cmd, stdin: true });
    const feed = async () => {
      for (let at = 0; at < bytes.length; at += 64 * 1024)
        await session.stdin?.write(bytes.subarray(at, at + 64 * 1024));
      await session.stdin?.close();
    };
    feed().catch(() => {}); // it may end before its input
    const [stderr, status] = await Promise.all([textOf(session.stderr), session.status, textOf(session.stdout)]);
    return { stderr, code: exitCode(status) };
  }

  it("makes an archive that GNU tar reads, of a tree with one of everything", async () => {
    const script = [
      "mkdir -p /tmp/tree/sub/empty && cd /tmp/tree",
      "echo content >'with space' && chmod 640 'with space' && touch -d @1600000000 'with space'",
      "mkfifo pipe; dd if=/dev/null of=zeros bs=1 seek=3000000; echo end >>zeros",
      "printf '%0200d' 0 >'long-'$(printf '%0120d' 0)",
    ].join("\n");
    assert.equal((await sh(runtime.cri, containerId, script)).exitCode, 0);
    const { bytes, stderr, code } = await archive("/tmp/tree");
    assert.deepEqual([stderr, code], ['warning: skipping special file: "tree/pipe"\n', 0]);
    const tar = spawn("tar", ["-xpf", "-", "-C", folder], { stdio: ["pipe", "inherit", "inherit"] });
    const closed = once(tar, "close");
    tar.stdin.end(bytes);
    assert.deepEqual(await closed, [0, null]);
    const { stdout } = await run("find", [".", "-printf", "%P %y %m %T@\\n"], { cwd: join(folder, "tree") });
    assert.match(stdout, /^with space f 640 1600000000\.0+$/m);
    assert.match(stdout, /^sub\/empty d 755/m);
    const { stdout: sum } = await run("sha256sum", [join(folder, "tree/zeros")]);
    const inside = await sh(runtime.cri, containerId, "sha256sum /tmp/tree/zeros");
    assert.equal(sum.split(" ")[0], Buffer.from(inside.stdout).toString().split(" ")[0]);
    assert.ok(bytes.length < 1_000_000, "a hole is not sent");
  });

  it("gives the rest of an archive from an offset on", async () => {
    const whole = await archive("/etc");
    const rest = await archive("/etc", { offset: 1000 });
    assert.ok(rest.bytes.equals(whole.bytes.subarray(1000)));
  });

  it("follows links as the container does, and never out of it", async () => {
    const hostname = await readFile("/etc/hostname", "utf8").catch(() => "");
    await sh(runtime.cri, containerId, "ln -s / /tmp/up; ln -s /etc /tmp/etc; ln -s ../../../../../../etc /tmp/far");
    for (const path of [
      "/tmp/up/etc/passwd",
      "/tmp/etc/passwd",
      "/tmp/far/passwd",
      "/../../etc/passwd",
      "etc/passwd",
    ]) {
      const { bytes, code, stderr } = await archive(path);
      assert.equal(code, 0, `${path}: ${stderr}`);
      assert.match(bytes.toString("latin1"), /web:x:1000:1000/, path);
    }
    const own = await archive("/tmp/far/hostname");
    assert.ok(hostname === "" || !own.bytes.includes(`\0${hostname}`));
    for (const path of ["/proc/1/root/etc", "/proc/self/fd/3", "/proc/self/root", "/no/such"]) {
      const { code, stderr } = await archive(path);
      assert.equal(code, 2, `${path}: ${stderr}`);
      assert.match(stderr, /^archive: /);
    }
  });

  it("reads an archive: modes, times, owners, links, set-id bits, and into a directory that is there", async () => {
    const bytes = tarArchive([
      tarEntry({ name: "new/", type: "5", mode: 0o750, uid: 1000, gid: 1000, mtime: 1_500_000_000 }),
      tarEntry({ name: "new/run", mode: 0o4755, uid: 1000, gid: 2000, mtime: 1_600_000_000 }, "#!/bin/sh\n"),
      tarEntry({ name: "new/again", type: "1", linkname: "new/run" }),
      tarEntry({ name: "new/abs", type: "2", linkname: "/etc/passwd" }),
    ]);
    assert.deepEqual(await extract("/tmp", bytes, { name: "new" }), { stderr: "", code: 0 });
    const look = "cd /tmp/new && stat -c '%n %a %u %g %Y %h' . run && readlink abs";
    const { stdout } = await sh(runtime.cri, containerId, look);
    assert.equal(
      Buffer.from(stdout).toString(),
      ". 750 1000 1000 1500000000 2\nrun 4755 1000 2000 1600000000 2\n/etc/passwd\n",
    );
    const into = tarArchive([tarEntry({ name: "./", type: "5", mode: 0o755 }), tarEntry({ name: "./in" }, "x")]);
    assert.equal((await extract("/tmp/new", into, { name: "." })).code, 0);
    assert.equal((await sh(runtime.cri, containerId, "cat /tmp/new/in")).exitCode, 0);
    const missing = await extract("/no/such", bytes, { name: "new" });
    assert.deepEqual(missing, { stderr: "archive: /no/such: no such directory\n", code: 2 });
  });

  it("never writes through a link, though the container swaps directories for links all the while", async () => {
    const outside = join(folder, "outside");
    await writeFile(outside, "untouched");
    // The node's own path, as an absolute link would have it.
    const swap = `cd /tmp/race && while :; do rm -rf tree/d; ln -s ${folder} tree/d; rm -f tree/d; mkdir tree/d; done`;
    await sh(runtime.cri, containerId, "mkdir -p /tmp/race/tree/d");
    await using racing = await openExec(runtime.cri, { containerId, cmd: ["timeout", "4", "sh", "-c", swap] });
    const files = Array.from({ length: 200 }, (_, i) => tarEntry({ name: `tree/d/f${i % 10}`, mode: 0o777 }, "evil"));
    const bytes = tarArchive([
      tarEntry({ name: "tree/", type: "5" }),
      ...files,
      tarEntry({ name: "tree/d/", type: "5", mode: 0o777 }),
    ]);
    for (let round = 0; round < 5; round++) await extract("/tmp/race", bytes);
    await Promise.all([textOf(racing.stdout), textOf(racing.stderr), racing.status]);
    assert.equal(await readFile(outside, "utf8"), "untouched");
    const there = await readdir(folder);
    assert.deepEqual(
      there.filter((name) => /^(f\d|\.hawser)/.test(name)),
      [],
    );
  });

  it("has the rights of the container's process: its user, its groups, its lost capabilities", async () => {
    const securityContext = create(LinuxContainerSecurityContextSchema, {
      runAsUser: create(Int64ValueSchema, { value: 1000n }),
      runAsGroup: create(Int64ValueSchema, { value: 1000n }),
    });
    const user = await startContainer(runtime.cri, { linux: { securityContext } });
    const id = user.containerId;
    const file = tarArchive([tarEntry({ name: "tree", uid: 0, gid: 0, mode: 0o644 }, "mine")]);
    assert.match((await extract("/etc", file, { id })).stderr, /^archive: EACCES: permission denied/);
    assert.equal((await extract("/tmp", file, { id })).code, 0);
    const { stdout } = await sh(runtime.cri, id, "stat -c '%u %g' /tmp/tree; ls /etc/tree");
    assert.equal(Buffer.from(stdout).toString(), "1000 1000\n");
    // Root without its capability to override permissions is stopped by them.
    const capabilities = create(CapabilitySchema, { dropCapabilities: ["DAC_OVERRIDE"] });
    const plain = create(LinuxContainerSecurityContextSchema, { capabilities });
    const weak = await startContainer(runtime.cri, { linux: { securityContext: plain } });
    await sh(
      runtime.cri,
      weak.containerId,
      "mkdir /tmp/d && echo secret >/tmp/d/s && chmod 700 /tmp/d && chown 1000 /tmp/d",
    );
    assert.match((await archive("/tmp/d", { id: weak.containerId })).stderr, /EACCES/);
    assert.equal((await archive("/tmp/d", { id: containerId })).code, 2, "not there in the other container");
  });

  it("sees volumes, and respects that one is read-only", async () => {
    const volume = await mkdtemp(join(tmpdir(), "hawser-volume-"));
    try {
      await writeFile(join(volume, "in-volume"), "from the node");
      await symlink("/etc/passwd", join(volume, "link"));
      const mounts = [
        create(MountSchema, { containerPath: "/rw", hostPath: volume }),
        create(MountSchema, { containerPath: "/ro", hostPath: volume, readonly: true }),
      ];
      const { containerId: id } = await startContainer(runtime.cri, { mounts });
      assert.ok((await archive("/ro", { id })).bytes.includes("from the node"));
      const file = tarArchive([tarEntry({ name: "tree" }, "x")]);
      assert.match((await extract("/ro", file, { id })).stderr, /EROFS: read-only file system/);
      assert.equal((await extract("/rw", file, { id })).code, 0);
      assert.equal(await readFile(join(volume, "tree"), "utf8"), "x");
    } finally {
      await rm(volume, { recursive: true, force: true });
    }
  });

  it("leaves nothing half, and no process, when its client goes", async () => {
    const cmd = archiveCommandLine({ verb: "extract", path: "/tmp", name: "gone", preserve: true });
    const session = await openExec(runtime.cri, { containerId, cmd, stdin: true });
    await session.stdin?.write(tarEntry({ name: "gone" }, Buffer.alloc(1_000_000, 1)).subarray(0, 500_000));
    const part = async () => {
      const { stdout } = await sh(runtime.cri, containerId, "ls -A /tmp | grep '^\\.hawser'; true");
      return Buffer.from(stdout).toString();
    };
    await eventually(async () => (await part()) !== "");
    await session[Symbol.asyncDispose]();
    await eventually(async () => (await part()) === "");
    await eventually(async () => !(await run("ps", ["-e", "-o", "args"])).stdout.includes('"gone"'));
    assert.notEqual((await sh(runtime.cri, containerId, "test -e /tmp/gone")).exitCode, 0);
  });

  it("does not go on reading for a client that has gone", async () => {
    const script = "mkdir /tmp/endless && dd if=/dev/null of=/tmp/endless/hole bs=1048576 seek=1048576 count=0";
    const { exitCode: made, stderr } = await sh(runtime.cri, containerId, script);
    assert.equal(made, 0, Buffer.from(stderr).toString());
    const cmd = archiveCommandLine({ verb: "create", path: "/tmp/endless", offset: 0 });
    const session = await openExec(runtime.cri, { containerId, cmd });
    const { value } = (await session.stdout?.[Symbol.asyncIterator]().next()) ?? {};
    assert.equal(value?.length, 512, "the directory's header; the file's waits until its holes are known");
    await session[Symbol.asyncDispose]();
    await eventually(async () => !(await run("ps", ["-e", "-o", "args"])).stdout.includes('"/tmp/endless"'));
  });

  it("refuses what it does not know", async () => {
    await using session = await openExec(runtime.cri, { containerId, cmd: ["hawser.dev/archive", "delete", "/"] });
    const [stderr, status] = await Promise.all([textOf(session.stderr), session.status, textOf(session.stdout)]);
    assert.match(stderr, /^archive: usage: /);
    assert.equal(exitCode(status), 2);
  });
});
