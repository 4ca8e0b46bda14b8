import { lstatSync, readdirSync } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";

/** Entries looked at in one turn. */
const atOnce = 500;

export interface DiskUsage {
  /** Disk space, bytes. */
  bytes: number;
  inodes: number;
}

/**
 * What a directory takes on disk, what is linked twice counted once: du's figures. For a thread where nobody waits: it blocks
 * for some milliseconds at a time. Throws the system's error, or the signal's reason.
 */
export async function diskUsage(directory: string, signal: AbortSignal): Promise<DiskUsage> {
  const usage = { bytes: 0, inodes: 0 };
  const linked = new Set<number>();
  const directories = [Buffer.from(directory)];
  const count = (path: Buffer) => {
    const { blocks, nlink, ino, isDirectory } = shortStat(path);
    if (!isDirectory && nlink > 1) {
      if (linked.has(ino)) return;
      linked.add(ino);
    }
    usage.inodes++;
    usage.bytes += blocks * 512;
  };
  count(Buffer.from(directory));
  let seen = 0;
  for (let at = directories.pop(); at; at = directories.pop()) {
    for (const entry of readdirSync(at, { withFileTypes: true, encoding: "buffer" })) {
      const path = Buffer.concat([at, Buffer.from("/"), entry.name]);
      count(path);
      if (entry.isDirectory()) directories.push(path);
      if (++seen % atOnce > 0) continue;
      await nextTurn();
      signal.throwIfAborted();
    }
  }
  return usage;
}

function shortStat(path: Buffer) {
  const stat = lstatSync(path);
  return { blocks: stat.blocks, nlink: stat.nlink, ino: stat.ino, isDirectory: stat.isDirectory() };
}
