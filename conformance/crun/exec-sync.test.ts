import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { eventually, newMark, pidsWith } from "@hawser/testing";
import { sh, startContainer, startTestRuntime, type TestRuntime } from "./support/runtime.ts";

const running = async (mark: string) => (await pidsWith(mark)).length;

for (const ociRuntime of ["crun", "runc"] as const) {
  describe(`execSync over ${ociRuntime}`, { timeout: 90_000 }, () => {
    let runtime: TestRuntime;
    let containerId: string;
    before(async () => {
      runtime = await startTestRuntime({ ociRuntime });
      ({ containerId } = await startContainer(runtime.cri));
    });
    after(() => runtime?.[Symbol.asyncDispose]());

    it("gives both outputs and the exit code", async () => {
      const result = await sh(runtime.cri, containerId, "echo out; echo err >&2; exit 3");
      assert.deepEqual(result, { stdout: "out\n", stderr: "err\n", exitCode: 3 });
    });

    for (const [name, cmd, exitCode] of [
      ["is not there", ["no-such-thing"], 127],
      ["is not executable", ["/etc/passwd"], 126],
      ["is a directory", ["/etc"], 126],
      ["exits with 255", ["sh", "-c", "echo 'executable file not found' >&2; exit 255"], 255],
      ["is killed", ["sh", "-c", "kill -9 $$"], 137],
    ] as [string, string[], number][]) {
      it(`answers ${exitCode} when the command ${name}`, async () => {
        const result = await runtime.cri.runtime.execSync({ containerId, cmd });
        assert.equal(result.exitCode, exitCode, Buffer.from(result.stderr).toString());
      });
    }

    it("ends with its timeout, and so does all it has started", async () => {
      const mark = newMark();
      const script = `trap '' HUP TERM; setsid sleep ${mark} & sleep ${mark}`;
      const started = performance.now();
      await assert.rejects(sh(runtime.cri, containerId, script, 1n), { code: 4 });
      assert.ok(performance.now() - started < 20_000);
      assert.equal(await running(mark), 0);
    });

    it("kills the command of a caller who goes away", async () => {
      const mark = newMark();
      const stop = new AbortController();
      const call = runtime.cri.runtime.execSync({ containerId, cmd: ["sleep", mark] }, { signal: stop.signal });
      call.catch(() => undefined);
      await eventually(async () => (await running(mark)) >= 1);
      stop.abort();
      await eventually(async () => (await running(mark)) === 0);
    });

    it("keeps 16 MiB of an output and drops the rest", async () => {
      const cmd = ["sh", "-c", "head -c 40000000 /dev/zero; echo done >&2"];
      const { stdout, stderr } = await runtime.cri.runtime.execSync({ containerId, cmd, timeout: 30n });
      assert.deepEqual([stdout.length, Buffer.from(stderr).toString()], [16 * 1024 * 1024, "done\n"]);
    });

    it("does not wait for a background child", async () => {
      const started = performance.now();
      const { stdout } = await sh(runtime.cri, containerId, "sleep 1000 & echo done");
      assert.equal(stdout, "done\n");
      assert.ok(performance.now() - started < 20_000);
    });

    it("takes a command larger than a pipe", async () => {
      const long = "x".repeat(100_000);
      const { stdout } = await runtime.cri.runtime.execSync({ containerId, cmd: ["echo", long] });
      assert.equal(stdout.length, long.length + 1);
    });

    it("serves many at once", async () => {
      const results = await Promise.all(
        Array.from({ length: 64 }, (_, n) => sh(runtime.cri, containerId, `echo ${n}; exit ${n}`)),
      );
      results.forEach(({ stdout, exitCode }, n) => {
        assert.deepEqual([stdout, exitCode], [`${n}\n`, n]);
      });
    });

    it("refuses what cannot be", async () => {
      await assert.rejects(runtime.cri.runtime.execSync({ containerId, cmd: [] }), { code: 3 });
      await assert.rejects(runtime.cri.runtime.execSync({ containerId: "none", cmd: ["true"] }), { code: 5 });
    });
  });
}
