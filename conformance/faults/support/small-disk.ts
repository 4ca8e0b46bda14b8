import { execFile } from "node:child_process";
import { type FileHandle, mkdir, mkdtemp, open, rm, statfs, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";

const execute = promisify(execFile);
const pageBytes = 4096;
/** How often the room is looked at until it is what was asked for. */
const maxRounds = 100;

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
  await execute("mount", [
    "-t",
    "tmpfs",
    "-o",
    `size=${megabytes}m,nr_inodes=${inodes},mode=700`,
    "hawser-disk",
    directory,
  ]);
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
        await leavePages(file, directory, pages);
      }
    },
    async [Symbol.asyncDispose]() {
      await execute("umount", ["-l", directory]);
      await rm(directory, { recursive: true });
    },
  };
}

/** Fills a file until the disk has so many pages left. Whoever else writes or removes meanwhile is allowed for. */
async function leavePages(file: FileHandle, directory: string, pages: number): Promise<void> {
  const block = Buffer.alloc(pageBytes, 1);
  let filled = 0;
  for (let round = 0; round < maxRounds; round++) {
    const { bfree } = await statfs(directory);
    if (bfree === pages) return;
    if (bfree < pages) {
      filled = Math.max(0, filled - (pages - bfree));
      await file.truncate(filled * pageBytes);
      if (filled === 0) return; // the others have it all
    }
    for (let n = bfree; n > pages; n--) {
      const written = await file.write(block, 0, pageBytes, filled * pageBytes).catch(ignoreFullDisk);
      if (written?.bytesWritten !== pageBytes) break; // another was faster: it is looked again
      filled++;
    }
  }
  throw new Error(`the disk does not come to have ${pages} pages left`);
}

function ignoreFullDisk(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOSPC") throw error;
}
