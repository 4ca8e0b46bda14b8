import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { replaceFolder } from "./replace-folder.ts";

test("replaceFolder: the place is never empty, and nothing is left beside it", async () => {
  const home = await mkdtemp(join(tmpdir(), "hawser-replace-"));
  const target = join(home, "dist");
  const build = async (name: string) => {
    const fresh = join(home, "fresh");
    await mkdir(fresh);
    for (const file of ["main", "other"]) await writeFile(join(fresh, file), name);
    await replaceFolder(fresh, target);
  };
  try {
    await build("first");
    let over = false;
    const seen = new Set<string>();
    const look = async () => {
      while (!over) seen.add(await readFile(join(target, "main"), "utf8")); // throws where there is none
    };
    const building = async () => {
      for (let n = 0; n < 20; n++) await build(`build ${n}`);
      over = true;
    };
    await Promise.all([look(), building().finally(() => (over = true))]);
    assert.ok(seen.size >= 1);
    assert.deepEqual(await readdir(home), ["dist"]);
    assert.equal(await readFile(join(target, "other"), "utf8"), "build 19");
  } finally {
    await rm(home, { recursive: true, force: true });
  }
});
