import { constants } from "node:fs";
import { access, statfs } from "node:fs/promises";
import { dirname } from "node:path";

/** Bytes without which no cluster can start: its certificates, its database and its logs. */
const leastFree = 32 * 1024 * 1024;

/** Throws, saying why and what to do, when a cluster cannot keep its data at this absolute path. */
export async function checkPlace(dataDir: string): Promise<void> {
  const folder = await nearest(dataDir);
  try {
    await access(folder, constants.W_OK);
  } catch (cause) {
    const why = (cause as NodeJS.ErrnoException).code === "EROFS" ? "is on a read-only file system" : "is not writable";
    throw new Error(`${folder} ${why}; choose another --data-dir`, { cause });
  }
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  if (free >= leastFree) return;
  const mebibytes = (bytes: number) => `${Math.floor(bytes / 2 ** 20)} MiB`;
  throw new Error(
    `${folder} has ${mebibytes(free)} of space left, and a cluster needs ${mebibytes(leastFree)} and its images; choose another --data-dir`,
  );
}

/** The folder itself, or the first one above it that is there. */
async function nearest(path: string): Promise<string> {
  try {
    await access(path);
    return path;
  } catch (error) {
    const above = dirname(path);
    if ((error as NodeJS.ErrnoException).code !== "ENOENT" || above === path) throw error;
    return nearest(above);
  }
}
