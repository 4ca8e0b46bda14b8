import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";

/** What becomes of a test file of this text, that may take so many milliseconds. */
async function outcome(text: string, limit: number) {
  const folder = await mkdtemp(join(tmpdir(), "hawser-overdue-"));
  try {
    const file = join(folder, "some.test.mjs");
    await writeFile(file, text);
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const args = ["--test", `--import=${join(import.meta.dirname, "overdue.ts")}`, "--test-reporter=tap", file];
    const own = { ...env, HAWSER_FILE_TIMEOUT: String(limit) };
    const { status, stdout } = spawnSync(process.execPath, args, { env: own, encoding: "utf8", timeout: 60_000 });
    return { status, stdout };
  } finally {
    await rm(folder, { recursive: true });
  }
}

it("a test file that does not end is ended, with its children, and says what kept it", async () => {
  const text = `
    import { spawn } from "node:child_process";
    import { it } from "node:test";
    spawn("sleep", ["1000"], { stdio: "inherit" });
    it("passes", () => {});`;
  const { status, stdout } = await outcome(text, 1500);
  assert.equal(status, 1);
  assert.match(stdout, /some\.test\.mjs: not over after 1\.5 s; what keeps it: .*ProcessWrap/);
});

it("a test file that ends, and a thread of one, are left alone", async () => {
  const text = `
    import assert from "node:assert/strict";
    import { once } from "node:events";
    import { it } from "node:test";
    import { Worker } from "node:worker_threads";
    it("has a thread", async () => {
      const worker = new Worker("setTimeout(() => {}, 100)", { eval: true, stdout: true });
      let said = "";
      worker.stdout.on("data", (text) => { said += text; });
      assert.deepEqual(await once(worker, "exit"), [0]);
      assert.equal(said, "");
    });`;
  const { status, stdout } = await outcome(text, 60_000);
  assert.equal(status, 0, stdout);
});
