// What the rows' pods have outside of their runtimes, and nobody removes with them: cgroups above theirs, and their logs.
import { readdir, readFile, rm, rmdir } from "node:fs/promises";
import { join } from "node:path";

/** Where the pods' cgroups are, on our own runtimes; containerd's have a place that goes with it. */
export const cgroup = `/hawser-bench-${process.pid}`;
/** Where the pods' logs are. */
export const logs = `/tmp/hawser-bench-${process.pid}`;

/** Removes both, the cgroup from every hierarchy. Throws when one of them is still in use. */
export async function removeLeftovers(): Promise<void> {
  await rm(logs, { recursive: true, force: true });
  for (const mount of await cgroupMounts()) await removeTree(join(mount, cgroup));
}

async function cgroupMounts(): Promise<string[]> {
  const lines = (await readFile("/proc/self/mounts", "utf8")).split("\n").map((line) => line.split(" "));
  return lines.flatMap(([, place = "", type = ""]) => (type === "cgroup" || type === "cgroup2" ? [place] : []));
}

async function removeTree(directory: string): Promise<void> {
  const entries = await readdir(directory, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (!entries) return;
  for (const entry of entries) if (entry.isDirectory()) await removeTree(join(directory, entry.name));
  await rmdir(directory);
}
