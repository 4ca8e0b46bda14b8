import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { exitStatus } from "@hawser/api";
import { bytes } from "../testing/bytes.ts";
import { commandLine } from "../testing/command-line.ts";
import { fakeApi, pod } from "../testing/fake-api.ts";

const prompt = "If you don't see a command prompt, try pressing enter.\n";

describe("hawser attach", () => {
  const shell = pod("shell", {
    spec: { containers: [{ name: "sh", image: "i", tty: true, stdin: true }], restartPolicy: "Always" },
  });

  it("shows both outputs and passes no input", async () => {
    await using server = await fakeApi({
      pods: [pod("web")],
      async session(session, url) {
        assert.equal(url.searchParams.get("stdin"), null);
        await session.stdout?.write(bytes("out"));
        await session.stderr?.write(bytes("err"));
        await session.finish(exitStatus(0));
      },
    });
    const { code, stdout, stderr } = await commandLine(["attach", "web"], { server: server.url }).result;
    assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: "out", stderr: `${prompt}err` });
  });

  it("joins a terminal, makes it draw anew, and says how to come back", async () => {
    await using server = await fakeApi({
      pods: [shell],
      async session(session) {
        const sizes: unknown[] = [];
        for await (const size of session.resize) if (sizes.push(size) === 2) break;
        await session.stdout?.write(bytes(JSON.stringify(sizes)));
        await session.finish(exitStatus(0));
      },
    });
    const { result, terminal } = commandLine(["attach", "shell", "-it"], { server: server.url, terminal: true });
    const { code, stdout, stderr } = await result;
    assert.equal(code, 0);
    assert.equal(
      stdout,
      '[{"width":81,"height":25},{"width":80,"height":24}]' +
        "Session ended, resume using 'hawser attach shell -c sh -i -t' command when the pod is running\n",
    );
    assert.equal(stderr, prompt);
    assert.deepEqual(terminal.modes, [true, false]);
  });

  it("is left by the detach keys, which the container does not see, and by others where others are given", async () => {
    for (const { flags, typed, keys } of [
      { flags: [], typed: "ls", keys: "\x10\x11" },
      { flags: ["--detach-keys=ctrl-a,d"], typed: "ls\x10\x11", keys: "\x01d" },
    ]) {
      let seen = "";
      const [arrived, gone] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      await using server = await fakeApi({
        pods: [shell],
        async session(session) {
          session.signal.addEventListener("abort", () => gone.resolve());
          for await (const chunk of session.stdin ?? []) {
            seen += Buffer.from(chunk).toString();
            if (seen === typed) arrived.resolve();
          }
        },
      });
      const argv = ["attach", "shell", "-it", ...flags];
      const { result, terminal } = commandLine(argv, { server: server.url, terminal: true });
      terminal.stdin.write(typed);
      await arrived.promise;
      terminal.stdin.write(keys);
      const { code } = await result;
      await gone.promise;
      assert.deepEqual([code, seen, terminal.modes], [0, typed, [true, false]]);
    }
  });

  it("sends what was typed in one go with the detach keys", async () => {
    let seen = "";
    const [open, gone] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    await using server = await fakeApi({
      pods: [shell],
      async session(session) {
        session.signal.addEventListener("abort", () => gone.resolve());
        open.resolve();
        for await (const chunk of session.stdin ?? []) seen += Buffer.from(chunk).toString();
      },
    });
    const { result, terminal } = commandLine(["attach", "shell", "-it"], { server: server.url, terminal: true });
    await open.promise;
    terminal.stdin.write("exit 3\r\x10\x11");
    const { code } = await result;
    await gone.promise;
    assert.deepEqual([code, seen, terminal.modes], [0, "exit 3\r", [true, false]]);
  });

  it("fails when its terminal does, and leaves it as it was", async () => {
    const arrived = Promise.withResolvers<void>();
    await using server = await fakeApi({
      pods: [shell],
      async session(session) {
        for await (const _ of session.stdin ?? []) arrived.resolve();
      },
    });
    const { result, terminal } = commandLine(["attach", "shell", "-it"], { server: server.url, terminal: true });
    terminal.stdin.write("ls");
    await arrived.promise;
    terminal.stdin.destroy(new Error("the line is dead"));
    const { code, stderr } = await result;
    assert.deepEqual([code, stderr, terminal.modes], [1, `${prompt}error: the line is dead\n`, [true, false]]);
  });

  it("says that the container has no terminal", async () => {
    await using server = await fakeApi({ pods: [pod("web")], session: (session) => session.finish(exitStatus(0)) });
    const { result, terminal } = commandLine(["attach", "web", "-it"], { server: server.url, terminal: true });
    const { stderr } = await result;
    assert.equal(stderr, `error: Unable to use a TTY - container web did not allocate one\n${prompt}`);
    assert.deepEqual(terminal.modes, []);
  });

  for (const { argv, want } of [
    { argv: "attach done", want: "error: cannot attach a container in a completed pod; current phase is Failed\n" },
    {
      argv: "attach web -c x",
      want: "error: cannot attach to the container: container x is not valid for pod web out of: web\n",
    },
    {
      argv: "attach a b c",
      want: "error: expected POD, TYPE/NAME, or TYPE NAME, (at most 2 arguments) saw 3: [a b c]\n",
    },
    { argv: "attach web --pod-running-timeout=0s", want: "error: --pod-running-timeout must be higher than zero\n" },
    {
      argv: "attach web --stream-peer-timeout=-1s",
      want: `error: invalid argument "-1s" for "--stream-peer-timeout" flag: it must not be negative\nSee 'hawser attach --help' for usage.\n`,
    },
  ]) {
    it(`refuses: ${argv}`, async () => {
      await using server = await fakeApi({ pods: [pod("web"), pod("done", { status: { phase: "Failed" } })] });
      const { code, stderr } = await commandLine(argv.split(" "), { server: server.url }).result;
      assert.deepEqual({ code, stderr }, { code: 1, stderr: want });
    });
  }
});
