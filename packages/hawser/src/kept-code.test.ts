import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Runs `main` of a bundle in a process of its own. */
const program = `
const { enableCompileCache } = require("node:module");
const [, folder, bundle, code] = process.argv;
if (folder) enableCompileCache(folder);
import(${JSON.stringify(join(import.meta.dirname, "kept-code.ts"))}).then(async ({ loadWithKeptCode }) => {
  const { main } = await loadWithKeptCode(bundle, "exec");
  console.log(main());
  process.exit(Number(code));
});`;

interface Place extends AsyncDisposable {
  bundle: string;
  cache: string;
  /** What `main` of the bundle said, in a run that ended with `code`. */
  load(options?: { code?: number; cache?: string }): Promise<string>;
  /** The files kept, and nothing else of ours. */
  kept(): Promise<string[]>;
}

async function place(): Promise<Place> {
  const folder = await mkdtemp(join(tmpdir(), "hawser-kept-"));
  const [bundle, cache] = [join(folder, "bundle.cjs"), join(folder, "cache")];
  await writeFile(bundle, bundleThatSays("first"));
  return {
    bundle,
    cache,
    async load({ code = 0, cache: where = cache } = {}) {
      const args = ["-e", program, where, bundle, String(code)];
      const { stdout } = await run(process.execPath, args, { timeout: 20_000 }).catch((error) => {
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
  `const { basename } = require("node:path");\nexports.main = () => ${JSON.stringify(word)} + " " + basename(__filename) + " " + (require.main === module);\n`;

it("keeps the code of a run that ended well, and loads it the next time", async () => {
  await using at = await place();
  assert.equal(await at.load({ code: 1 }), "first bundle.cjs false");
  assert.deepEqual(await at.kept(), [], "of a run that failed");
  assert.equal(await at.load(), "first bundle.cjs false");
  const [file = "", ...more] = await at.kept();
  assert.deepEqual(more, []);
  const before = await readFile(file);
  assert.equal(await at.load(), "first bundle.cjs false");
  assert.deepEqual(await readFile(file), before, "it was accepted, so nothing was written");
});

it("a changed source of the same length, and a file that was cut or spoiled, are compiled anew", async () => {
  await using at = await place();
  await at.load();
  await writeFile(at.bundle, bundleThatSays("other"));
  assert.equal(await at.load(), "other bundle.cjs false");
  const [file = ""] = await at.kept();
  const whole = await readFile(file);
  for (const spoil of [
    () => truncate(file, whole.length - 5),
    () => truncate(file, 3),
    () => writeFile(file, Buffer.from(whole).fill(0x7f, whole.length / 2)),
  ]) {
    await spoil();
    assert.equal(await at.load(), "other bundle.cjs false");
    assert.equal((await readFile(file)).length, whole.length, "and kept anew");
  }
});

it("where Node keeps nothing, or cannot, the program runs all the same", async () => {
  await using at = await place();
  assert.equal(await at.load({ cache: "" }), "first bundle.cjs false");
  assert.equal(await at.load({ cache: join(at.bundle, "no-folder") }), "first bundle.cjs false");
  assert.deepEqual(await at.kept(), []);
});
