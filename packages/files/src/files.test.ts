import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { access, type FileHandle, mkdir, mkdtemp, rename, rm, rmdir, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import { readHead, readPlainFile, removeTree } from "./index.ts";

const sh = (script: string, ...args: string[]) => promisify(execFile)("/bin/sh", ["-c", script, "sh", ...args]);

describe("files that others have made", () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "hawser-files-"));
  });
  after(() => removeTree(folder));

  it("readPlainFile: reads a file, through links, and one whose size is said to be 0", async () => {
    await writeFile(join(folder, "text"), "hellö");
    await symlink("text", join(folder, "link"));
    assert.equal(await readPlainFile(join(folder, "link"), 6), "hellö");
    assert.match(await readPlainFile("/proc/self/status", 65536), /^Name:/);
  });

  it("readHead: what comes a page at a time, as /proc gives it", async () => {
    const all = Buffer.from(Array.from({ length: 200_000 }, (_, at) => at % 251));
    const read = async (into: Buffer, offset: number, length: number, at: number) => ({
      bytesRead: all.copy(into, offset, at, Math.min(at + length, at + 3000)),
    });
    const file = { read } as unknown as FileHandle; // all that is used of one
    for (const count of [0, 1, 65_536, 65_537, 199_999, 200_000, 300_000]) {
      assert.ok((await readHead(file, count)).equals(all.subarray(0, count)), `${count}`);
    }
  });

  it("readPlainFile: waits for no pipe, reads no device and no more than asked for", async () => {
    const pipe = join(folder, "pipe");
    await sh('mkfifo "$1"', pipe);
    for (const place of [pipe, "/dev/zero", folder]) {
      await assert.rejects(readPlainFile(place, 100), { message: "is not a file" });
    }
    await writeFile(join(folder, "large"), "x".repeat(101));
    await assert.rejects(readPlainFile(join(folder, "large"), 100), { message: "larger than 100 bytes" });
    await assert.rejects(readPlainFile(join(folder, "none"), 100), { code: "ENOENT" });
  });

  it("removeTree: removes any depth, any names, and nothing that a link leads to", async () => {
    const [top, kept] = [join(folder, "top"), join(folder, "kept")];
    await mkdir(kept);
    await writeFile(join(kept, "file"), "");
    await mkdir(top);
    await symlink(kept, join(top, "out"));
    await sh(
      `cd "$1"; printf x > "$(printf 'a\\377b')"; mkdir "$(printf 'c\\377d')"; touch "$(printf 'c\\377d/e')"; mkfifo pipe`,
      top,
    );
    await makeDeep(top, 200);
    await assert.rejects(rm(top, { recursive: true }), { code: "ENAMETOOLONG" });
    await Promise.all([removeTree(top), removeTree(top)]); // two at a time are no harm
    await assert.rejects(access(top), { code: "ENOENT" });
    await access(join(kept, "file"));
  });

  it("removeTree: many full directories in one, and many files", async () => {
    const top = join(folder, "wide");
    await sh('mkdir "$1"; cd "$1"; for n in $(seq 100); do mkdir -p $n/a/b; done; seq 500 | xargs touch', top);
    await removeTree(top);
    await assert.rejects(access(top), { code: "ENOENT" });
  });

  it("removeTree: a link and a file go, what a link leads to stays; nothing is fine", async () => {
    await mkdir(join(folder, "target"));
    await writeFile(join(folder, "target/file"), "");
    await symlink("target", join(folder, "way"));
    await removeTree(join(folder, "way"));
    await access(join(folder, "target/file"));
    await removeTree(join(folder, "target/file"));
    await removeTree(join(folder, "none/at/all"));
    await rmdir(join(folder, "target"));
  });
});

/** A chain of directories, each path of it twice as long as the kernel takes with 200 of them. */
async function makeDeep(top: string, levels: number): Promise<void> {
  const name = "d".repeat(40);
  let inner = join(top, "0");
  await mkdir(inner);
  for (let level = 1; level < levels; level++) {
    const outer = join(top, String(level));
    await mkdir(outer);
    await rename(inner, join(outer, name));
    inner = outer;
  }
}
