import { execFile } from "node:child_process";
import { mkdir, mkdtemp, open, rm, statfs, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";

const execute = promisify(execFile);
const pageBytes = 4096;

/** A file system of its own that can be filled: a tmpfs, whose pages and inodes are counted. */
export interface SmallDisk extends AsyncDisposable {
  /** Where it is mounted. */
  path: string;
  /** Leaves room for so many pages, and so many inodes. */
  fill(room: { pages?: number; inodes?: number }): Promise<void>;
  /** As much room as there was before fill(). */
  clear(): Promise<void>;
}

export async function smallDisk({ megabytes, inodes }: { megabytes: number; inodes: number }): Promise<SmallDisk> {
  const directory = await mkdtemp(path.join(tmpdir(), "hawser-disk-"));
  await execute("mount", ["-t", "tmpfs", "-o", `size=${megabytes}m,nr_inodes=${inodes}`, "hawser-disk", directory]);
  const ballast = path.join(directory, "ballast");
  const clear = async () => {
    await rm(ballast, { recursive: true, force: true });
  };
  return {
    path: directory,
    clear,
    async fill({ pages, inodes: left }) {
      await clear();
      await mkdir(ballast);
      if (left !== undefined) {
        const { ffree } = await statfs(directory);
        for (let n = ffree; n > left; n--) await writeFile(path.join(ballast, String(n)), "");
      }
      if (pages !== undefined) {
        await using file = await open(path.join(ballast, "pages"), "w");
        const { bfree } = await statfs(directory);
        const block = Buffer.alloc(pageBytes, 1);
        for (let n = bfree; n > pages; n--) await file.write(block);
      }
    },
    async [Symbol.asyncDispose]() {
      await execute("umount", ["-l", directory]);
      await rm(directory, { recursive: true });
    },
  };
}
