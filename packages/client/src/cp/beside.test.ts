import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { byteString, contentHead, endOfArchive } from "@hawser/tar";
import { besideOf } from "./beside.ts";

it("a tree is placed when its archive has come to its end, and not when it ends between two files, which tar takes for an end", async () => {
  const folder = await fs.mkdtemp(join(tmpdir(), "hawser-cp-"));
  try {
    const beside = besideOf({ directory: folder, base: "tree" });
    const entry = (name: string) => contentHead({ as: byteString(name), size: 0, mode: 0o644, mtime: 0 });
    const cut = entry(`${beside.name}/file`);
    const whole = [...cut, ...entry(beside.end), endOfArchive];
    const failing = [...whole.slice(0, -1), ...entry(`${beside.name}/file/below`), endOfArchive]; // which tar cannot make
    for (const { archive, isTree, status, left } of [
      { archive: failing, isTree: true, status: 2, left: [] },
      { archive: cut, isTree: true, status: 2, left: [] },
      { archive: whole, isTree: true, status: 0, left: ["tree"] },
    ]) {
      const [program = "", ...args] = beside.command(["tar", "-xf", "-"], { keep: false, isTree });
      const ended = spawnSync(program, args, { input: Buffer.concat(archive), encoding: "utf8" });
      assert.equal(ended.status, status, ended.stderr);
      assert.deepEqual(await fs.readdir(folder), left);
    }
    assert.deepEqual(await fs.readdir(join(folder, "tree")), ["file"]);
  } finally {
    await fs.rm(folder, { recursive: true });
  }
});
