import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { exitCode } from "@hawser/api";
import { eventually, newMark, pidsWith } from "@hawser/testing";
import { sh, startContainer, startTestRuntime, type TestRuntime } from "./support/runtime.ts";
import { openExec, readUntil, textOf } from "./support/session.ts";

const ways = [
  { ociRuntime: "crun", helper: true, way: "by hawser-exec over crun" },
  { ociRuntime: "runc", helper: true, way: "by hawser-exec over runc" },
  { ociRuntime: "crun", helper: false, way: "by crun exec" },
  { ociRuntime: "runc", helper: false, way: "by runc exec" },
] as const;

for (const { ociRuntime, helper, way } of ways) {
  describe(`exec ${way}`, { timeout: 60_000 }, () => {
    let runtime: TestRuntime;
    let containerId: string;
    before(async () => {
      runtime = await startTestRuntime({ ociRuntime, config: { exec: { helper } } });
      ({ containerId } = await startContainer(runtime.cri));
    });
    after(() => runtime?.[Symbol.asyncDispose]());

    for (const transport of ["websocket", "spdy"] as const) {
      it(`streams both outputs and the exit code over ${transport}`, async () => {
        const cmd = ["sh", "-c", "echo out; echo err >&2; exit 7"];
        await using session = await openExec(runtime.cri, { containerId, cmd, transports: [transport] });
        const [stdout, stderr, status] = await Promise.all([
          textOf(session.stdout),
          textOf(session.stderr),
          session.status,
        ]);
        assert.deepEqual([stdout, stderr, exitCode(status)], ["out\n", "err\n", 7]);
      });
    }

    it("takes stdin to its end", async () => {
      await using session = await openExec(runtime.cri, { containerId, cmd: ["sha256sum"], stdin: true });
      const block = Buffer.alloc(64 * 1024, "x");
      for (let n = 0; n < 64; n++) await session.stdin?.write(block);
      await session.stdin?.close();
      const [stdout, status] = await Promise.all([textOf(session.stdout), session.status]);
      const { createHash } = await import("node:crypto");
      const want = createHash("sha256")
        .update(Buffer.alloc(4 * 1024 * 1024, "x"))
        .digest("hex");
      assert.deepEqual([stdout.split(" ")[0], exitCode(status)], [want, 0]);
    });

    it("keeps taking stdin after the command has closed its stdout", async () => {
      const cmd = ["sh", "-c", "exec >/dev/null 2>&1; wc -c >/tmp/n"];
      await using session = await openExec(runtime.cri, { containerId, cmd, stdin: true });
      const outputs = Promise.all([textOf(session.stdout), textOf(session.stderr)]);
      for (let n = 0; n < 320; n++) await session.stdin?.write(Buffer.alloc(32 * 1024));
      await session.stdin?.close();
      assert.equal(exitCode(await session.status), 0);
      await outputs;
      assert.equal((await sh(runtime.cri, containerId, "cat /tmp/n")).stdout.trim(), String(320 * 32 * 1024));
    });

    it("ends when the command ends, though stdin stays open", async () => {
      await using session = await openExec(runtime.cri, { containerId, cmd: ["sh"], stdin: true });
      const outputs = Promise.all([textOf(session.stdout), textOf(session.stderr)]);
      await session.stdin?.write(Buffer.from("echo hello; exit 4\n"));
      assert.equal(exitCode(await session.status), 4);
      assert.deepEqual(await outputs, ["hello\n", ""]);
    });

    it("gives pipes that can be opened again by name", async () => {
      const script = "echo a >/dev/stdout; echo b >/dev/stderr; cat /dev/stdin; echo c | tee /dev/stderr";
      await using session = await openExec(runtime.cri, { containerId, cmd: ["sh", "-c", script], stdin: true });
      const outputs = Promise.all([textOf(session.stdout), textOf(session.stderr)]);
      await session.stdin?.write(Buffer.from("in\n"));
      await session.stdin?.close();
      assert.equal(exitCode(await session.status), 0);
      assert.deepEqual(await outputs, ["a\nin\nc\n", "b\nc\n"]);
    });

    it("streams a hundred megabytes whole", async () => {
      const cmd = ["sh", "-c", "head -c 104857600 /dev/zero"];
      await using session = await openExec(runtime.cri, { containerId, cmd });
      const stderr = textOf(session.stderr);
      let bytes = 0;
      for await (const chunk of session.stdout ?? []) bytes += chunk.length;
      assert.deepEqual([bytes, exitCode(await session.status), await stderr], [104857600, 0, ""]);
    });

    it("runs on a terminal of the size the client has at the start, and follows it", async () => {
      // crun's own exec sets the size beside the command's start (docs/decisions/exec-helper.md).
      const sized = helper ? "" : 'until [ "$(stty size)" != "0 0" ]; do sleep 0.01; done;';
      const script = `tty; ${sized} stty size; trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done`;
      const cmd = ["sh", "-c", script];
      await using session = await openExec(runtime.cri, { containerId, cmd, tty: true, stdin: true });
      await session.resize({ width: 111, height: 33 });
      assert.ok(session.stdout);
      const reader = session.stdout[Symbol.asyncIterator]();
      assert.match(await readUntil(reader, "ready"), /\/dev\/pts\/\d+\r\n33 111/);
      await session.resize({ width: 70, height: 20 });
      await readUntil(reader, "20 70");
      await session.stdin?.write(Buffer.from("\x03"));
      while (!(await reader.next()).done);
      assert.equal(exitCode(await session.status), 130);
    });

    it("loses nothing of a short command on a terminal", async () => {
      for (let n = 0; n < 10; n++) {
        const cmd = ["sh", "-c", "seq 1 2000"];
        await using session = await openExec(runtime.cri, { containerId, cmd, tty: true });
        const [stdout, status] = await Promise.all([textOf(session.stdout), session.status]);
        assert.equal(exitCode(status), 0);
        assert.match(stdout, /\r\n2000\r\n$/);
      }
    });

    for (const tty of [false, true]) {
      const where = tty ? "on a terminal" : "on pipes";
      it(`answers 127 for what is not there, ${where}`, async () => {
        await using session = await openExec(runtime.cri, { containerId, cmd: ["no-such-thing"], tty });
        const [stdout, stderr, status] = await Promise.all([
          textOf(session.stdout),
          textOf(session.stderr),
          session.status,
        ]);
        assert.equal(exitCode(status), 127);
        assert.match(stdout + stderr, /no-such-thing/);
      });

      it(`answers 126 for what cannot be executed, ${where}`, async () => {
        await using session = await openExec(runtime.cri, { containerId, cmd: ["/etc/passwd"], tty });
        const outputs = Promise.all([textOf(session.stdout), textOf(session.stderr)]);
        assert.equal(exitCode(await session.status), 126);
        await outputs;
      });
    }

    it("answers 128 + n for a command that a signal ended", async () => {
      await using session = await openExec(runtime.cri, { containerId, cmd: ["sh", "-c", "kill -KILL $$"] });
      const outputs = Promise.all([textOf(session.stdout), textOf(session.stderr)]);
      assert.equal(exitCode(await session.status), 137);
      await outputs;
    });

    // Each waits for the grace that a command has.
    describe("leaves nothing of a command whose client", { concurrency: true }, () => {
      for (const tty of [false, true]) {
        it(`is gone${tty ? ", on a terminal" : ""}`, async () => {
          const mark = newMark();
          const script = `trap '' HUP; setsid nohup sleep ${mark} >/dev/null 2>&1 & sleep ${mark}`;
          await using session = await openExec(runtime.cri, {
            containerId,
            cmd: ["sh", "-c", script],
            tty,
            stdin: true,
          });
          session.status.catch(() => undefined);
          await eventually(async () => (await pidsWith(mark)).length === 2);
          await session[Symbol.asyncDispose]();
          await eventually(async () => (await pidsWith(mark)).length === 0);
        });
      }

      it("is gone before it has begun", async () => {
        const mark = newMark();
        for (let n = 0; n < 10; n++) {
          await using session = await openExec(runtime.cri, { containerId, cmd: ["sleep", mark], stdin: true });
          session.status.catch(() => undefined);
          await new Promise((resolve) => setTimeout(resolve, n / 2));
          await session[Symbol.asyncDispose]();
        }
        // Nobody tells when the last has begun and ended: there must be none for a while.
        await eventually(async () => {
          for (let looks = 0; looks < 40; looks++) {
            if ((await pidsWith(mark)).length > 0) return false;
            await new Promise((resolve) => setTimeout(resolve, 50));
          }
          return true;
        });
      });
    });

    it("hangs up first, so that a shell can say good-bye", async () => {
      const cmd = ["sh", "-c", "trap 'echo bye >/tmp/bye; exit' HUP; echo ready; while :; do sleep 0.05; done"];
      await using session = await openExec(runtime.cri, { containerId, cmd, stdin: true });
      session.status.catch(() => undefined);
      assert.ok(session.stdout);
      await readUntil(session.stdout[Symbol.asyncIterator](), "ready");
      await session[Symbol.asyncDispose]();
      const said = await eventually(
        async () => (await sh(runtime.cri, containerId, "cat /tmp/bye")).stdout || undefined,
      );
      assert.equal(said, "bye\n");
    });

    it("does not wait for a background child that keeps the output open", async () => {
      const mark = newMark();
      const started = performance.now();
      const cmd = ["sh", "-c", `sleep ${mark} & echo started`];
      await using session = await openExec(runtime.cri, { containerId, cmd });
      const outputs = Promise.all([textOf(session.stdout), textOf(session.stderr)]);
      assert.equal(exitCode(await session.status), 0);
      assert.deepEqual(await outputs, ["started\n", ""]);
      assert.ok(performance.now() - started < 20_000);
      assert.equal((await pidsWith(mark)).length, 1, "it goes on, as its starter wanted");
    });

    it("ends when the container does", async () => {
      const other = await startContainer(runtime.cri);
      const mark = newMark();
      const cmd = ["sleep", mark];
      await using session = await openExec(runtime.cri, { containerId: other.containerId, cmd });
      const outputs = Promise.all([textOf(session.stdout), textOf(session.stderr)]);
      await eventually(async () => (await pidsWith(mark)).length > 0);
      const started = performance.now();
      await runtime.cri.runtime.stopContainer({ containerId: other.containerId, timeout: 0n });
      assert.equal(exitCode(await session.status), 137);
      await outputs;
      assert.ok(performance.now() - started < 20_000);
      await runtime.cri.runtime.removePodSandbox({ podSandboxId: other.podSandboxId });
    });

    it("refuses an unknown container, and one that does not run", async () => {
      await assert.rejects(runtime.cri.runtime.exec({ containerId: "none", cmd: ["true"], stdout: true }), { code: 5 });
      const { podSandboxId, containerId: ended } = await startContainer(runtime.cri, { command: ["true"] });
      await eventually(async () => {
        const { status } = await runtime.cri.runtime.containerStatus({ containerId: ended });
        return status?.exitCode === 0 && status.finishedAt > 0n;
      });
      await assert.rejects(runtime.cri.runtime.exec({ containerId: ended, cmd: ["true"], stdout: true }), { code: 9 });
      await runtime.cri.runtime.removePodSandbox({ podSandboxId });
    });
  });
}
