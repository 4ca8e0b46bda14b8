import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { access, readdir, readFile, rmdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import { type ClusterPaths, defaultDataDir } from "./paths.ts";

/** Is there while systemd is the host's first process. Source: sd_booted(3) */
const bootedMark = "/run/systemd/system";
/** How long systemd may take to stop a slice whose processes are gone, milliseconds. */
const patience = 30_000;

/** Below which cgroup a cluster's pods have theirs: its own, so that nothing else can be in it. */
export function cgroupRoot({ dataDir }: ClusterPaths): string {
  if (dataDir === defaultDataDir) return "/hawser";
  return `/hawser-${createHash("sha256").update(dataDir).digest("hex").slice(0, 8)}`;
}

/** The slice that the kubelet makes of the root where cgroups are systemd's: with underscores for dashes. */
export function sliceOfRoot(root: string): string {
  return `${basename(root).replaceAll("-", "_")}.slice`;
}

/**
 * Removes the cluster's cgroup from every hierarchy, a slice with those below it from systemd too. Its processes have ended before.
 * Throws when a cgroup stays, and with systemd's words when it does not stop the slice within 30 s.
 */
export async function removeCgroups(paths: ClusterPaths): Promise<void> {
  const root = cgroupRoot(paths);
  const slice = sliceOfRoot(root);
  const mounts = hierarchies(await readFile("/proc/self/mountinfo", "utf8"));
  const inUse = await Promise.all(mounts.map((mount) => isThere(join(mount, slice))));
  // The runtime has stopped its pods' slices; those above them, the kubelet's classes, only go when no pod is left to it.
  if (inUse.includes(true) && (await isThere(bootedMark))) await stopSlice(slice);
  for (const mount of mounts) {
    for (const name of [root, slice]) await removeTree(join(mount, name));
  }
}

/** systemd stops what is below a slice with it. */
async function stopSlice(slice: string): Promise<void> {
  try {
    await promisify(execFile)("systemctl", ["stop", "--quiet", "--", slice], { timeout: patience });
  } catch (cause) {
    const said = (cause as { stderr?: string }).stderr?.trim();
    throw new Error(`systemctl stop ${slice}${said ? `: ${said}` : " failed, or took more than 30 s"}`, { cause });
  }
}

async function isThere(place: string): Promise<boolean> {
  return await access(place).then(
    () => true,
    () => false,
  );
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
