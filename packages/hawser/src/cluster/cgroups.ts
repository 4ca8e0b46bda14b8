import { createHash } from "node:crypto";
import { readdir, readFile, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { type ClusterPaths, defaultDataDir } from "./paths.ts";

/** Below which cgroup a cluster's pods have theirs: its own, so that nothing else can be in it. */
export function cgroupRoot({ dataDir }: ClusterPaths): string {
  if (dataDir === defaultDataDir) return "/hawser";
  return `/hawser-${createHash("sha256").update(dataDir).digest("hex").slice(0, 8)}`;
}

/** Removes the cluster's cgroup from every hierarchy. Its processes have ended before. Throws when a cgroup stays. */
export async function removeCgroups(paths: ClusterPaths): Promise<void> {
  for (const mount of hierarchies(await readFile("/proc/self/mountinfo", "utf8"))) {
    await removeTree(join(mount, cgroupRoot(paths)));
  }
}

/** Mount points of the cgroup hierarchies, of version 1 and 2, by the text of /proc/self/mountinfo. */
export function hierarchies(mountinfo: string): string[] {
  return mountinfo.split("\n").flatMap((line) => {
    const [before = "", after = ""] = line.split(" - ");
    const point = before.split(" ")[4];
    return point && /^cgroup2? /.test(after) ? [point] : [];
  });
}

/** A cgroup is removed by rmdir, its files go with it; so the deepest first. */
async function removeTree(folder: string): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((err: NodeJS.ErrnoException) => {
    if (err.code === "ENOENT") return [];
    throw err;
  });
  for (const entry of entries) if (entry.isDirectory()) await removeTree(join(folder, entry.name));
  await rmdir(folder).catch((err: NodeJS.ErrnoException) => {
    if (err.code !== "ENOENT") throw err;
  });
}
