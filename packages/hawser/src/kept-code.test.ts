// What bin/hawser.cjs keeps of compiled code, and when.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { promisify } from "node:util";

const run = promisify(execFile);

/** A package of its own, whose `exec` is what the test makes of it. */
interface Place extends AsyncDisposable {
  bundle: string;
  cache: string;
  /** What the bundle said, in a run that ended with `code`. */
  load(options?: { code?: number; env?: NodeJS.ProcessEnv }): Promise<string>;
  /** The files kept, and nothing else of ours. */
  kept(): Promise<string[]>;
}

async function place(): Promise<Place> {
  const folder = await mkdtemp(join(tmpdir(), "hawser-kept-"));
  const [program, bundle, cache] = ["bin/hawser.cjs", "dist/exec.cjs", "cache"].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  for (const name of ["bin", "dist"]) await mkdir(join(folder, name));
  await copyFile(join(import.meta.dirname, "../bin/hawser.cjs"), program);
  await writeFile(join(folder, "dist/main.cjs"), "throw new Error('not for exec');");
  await writeFile(bundle, bundleThatSays("first"));
  return {
    bundle,
    cache,
    async load({ code = 0, env = {} } = {}) {
      const own = { ...process.env, HAWSER_SOURCE: "", NODE_COMPILE_CACHE: "", XDG_CACHE_HOME: cache, ...env };
      const options = { timeout: 20_000, env: own };
      const { stdout } = await run(process.execPath, [program, "exec", String(code)], options).catch((error) => {
        assert.equal(error.code, code, error.stderr);
        return error;
      });
      return stdout.trim();
    },
    async kept() {
      const names = await readdir(cache, { recursive: true }).catch(() => []);
      return names.filter((name) => name.includes(".code")).map((name) => join(cache, name));
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}

const bundleThatSays = (word: string) =>
  `const { basename } = require("node:path");
exports.start = () => {
  console.log(${JSON.stringify(word)} + " " + basename(__filename) + " " + (require.main === module));
  process.exit(Number(process.argv[3]));
};
`;

it("keeps the code of a run that ended well, and loads it the next time", async () => {
  await using at = await place();
  assert.equal(await at.load({ code: 1 }), "first exec.cjs false");
  assert.deepEqual(await at.kept(), [], "of a run that failed");
  assert.equal(await at.load(), "first exec.cjs false");
  const [file = "", ...more] = await at.kept();
  assert.deepEqual(more, []);
  const before = await readFile(file);
  assert.equal(await at.load(), "first exec.cjs false");
  assert.deepEqual(await readFile(file), before, "it was accepted, so nothing was written");
});

it("a changed source of the same length, and a file that was cut or spoiled, are compiled anew", async () => {
  await using at = await place();
  await at.load();
  await writeFile(at.bundle, bundleThatSays("other"));
  assert.equal(await at.load(), "other exec.cjs false");
  const [file = ""] = await at.kept();
  const whole = await readFile(file);
  for (const spoil of [
    () => truncate(file, whole.length - 5),
    () => truncate(file, 3),
    () => writeFile(file, Buffer.from(whole).fill(0x7f, whole.length / 2)),
  ]) {
    await spoil();
    assert.equal(await at.load(), "other exec.cjs false");
    assert.equal((await readFile(file)).length, whole.length, "and kept anew");
  }
});

it("where Node keeps nothing, or cannot, the program runs all the same", async () => {
  await using at = await place();
  assert.equal(await at.load({ env: { NODE_DISABLE_COMPILE_CACHE: "1" } }), "first exec.cjs false");
  assert.equal(await at.load({ env: { XDG_CACHE_HOME: join(at.bundle, "no-folder") } }), "first exec.cjs false");
  assert.deepEqual(await at.kept(), []);
});
