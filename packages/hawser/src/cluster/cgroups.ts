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
/** What systemctl exits with when it knows no such unit. Source: systemctl(1) */
const notLoaded = 5;

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
 * Removes the cluster's cgroup from every hierarchy, its slices from systemd too. Its processes have ended before.
 * Throws when a cgroup stays, and with systemd's words when it does not stop a slice within 30 s.
 */
export async function removeCgroups(paths: ClusterPaths): Promise<void> {
  const root = cgroupRoot(paths);
  const mounts = hierarchies(await readFile("/proc/self/mountinfo", "utf8"));
  const booted = await isThere(bootedMark);
  await removeSlices({ stop: booted ? stopSlice : async () => {} }, { mounts, slice: sliceOfRoot(root) });
  for (const mount of mounts) await removeTree(join(mount, root));
}

/**
 * Removes the pods' slice, with those below it, and then the one above it: unless something else is in there, an operator's own unit
 * (hawser-NAME.slice is below hawser.slice), which systemd would stop with it.
 */
export async function removeSlices(
  { stop }: { stop: (slice: string) => Promise<void> },
  { mounts, slice }: { mounts: string[]; slice: string },
): Promise<void> {
  // The runtime has stopped its pods' slices; those above them, the kubelet's classes, only go when no pod is left to it.
  const pods = `${basename(slice, ".slice")}-kubepods.slice`;
  const places = mounts.map((mount) => join(mount, slice));
  for (const [name, directories] of [
    [pods, places.map((place) => join(place, pods))],
    [slice, places],
  ] as const) {
    const there = await Promise.all(directories.map(isThere));
    if (!there.includes(true)) continue;
    if (name === slice && (await Promise.all(places.map(childrenOf))).flat().length > 0) return;
    await stop(name);
    for (const directory of directories) await removeTree(directory);
  }
}

/** systemd stops what is below a slice with it. Nothing where there is no systemctl, or systemd has no such slice. */
async function stopSlice(slice: string): Promise<void> {
  try {
    await promisify(execFile)("systemctl", ["stop", "--quiet", "--", slice], { timeout: patience });
  } catch (cause) {
    const { code, killed, stderr } = cause as { code?: number | string; killed?: boolean; stderr?: string };
    if (code === "ENOENT" || code === notLoaded) return;
    const why = stderr?.trim() || (killed ? "took more than 30 s" : `exit status ${code}`);
    throw new Error(`systemctl stop ${slice}: ${why}`, { cause });
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
  for (const name of await childrenOf(folder)) await removeTree(join(folder, name));
  await rmdir(folder).catch((err: NodeJS.ErrnoException) => {
    if (err.code !== "ENOENT") throw err;
  });
}

/** Names of the cgroups right below one; none when it is gone. */
async function childrenOf(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((err: NodeJS.ErrnoException) => {
    if (err.code === "ENOENT") return [];
    throw err;
  });
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
}
