import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import type { Reaper } from "../native/reaper.ts";
import type { CgroupMode } from "../oci/probe.ts";
import { isSlice } from "./parent.ts";
import { controllerPath, removeCgroup } from "./paths.ts";
import { adopt } from "./systemd.ts";

/** conmon's own cgroup on a v2 host, where a pod's cgroup may hold no process itself. */
function leaf(cgroupParent: string, containerId: string): string {
  return path.posix.join(cgroupParent, isSlice(cgroupParent) ? scopeOf(containerId) : `conmon-${containerId}`);
}

function scopeOf(containerId: string): string {
  return `hawser-conmon-${containerId}.scope`;
}

/**
 * Moves a conmon out of our own memory accounting into its pod's: it outlives us, and a limit on us is not its own.
 * On v1 the memory controller alone matters. In a slice it gets a scope.
 */
export async function moveConmon(
  { reaper, cgroupMode: mode }: { reaper: Reaper; cgroupMode: CgroupMode },
  { pid, cgroupParent, containerId }: { pid: number; cgroupParent: string; containerId: string },
): Promise<void> {
  if (isSlice(cgroupParent)) {
    const description = `conmon of container ${containerId}`;
    await adopt({ reaper }, { unit: scopeOf(containerId), slice: path.posix.basename(cgroupParent), pid, description });
    return;
  }
  const cgroup = mode === "v2" ? leaf(cgroupParent, containerId) : cgroupParent;
  const directory = controllerPath(mode, cgroup);
  if (mode === "v2") await mkdir(directory, { recursive: true });
  await writeFile(path.join(directory, "cgroup.procs"), String(pid)).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ESRCH" && error.code !== "ENOENT") throw error; // it has ended, or there is no such controller
  });
}

/** Removes what moveConmon has made, once conmon has ended. Idempotent. */
export async function removeConmonGroup(
  mode: CgroupMode,
  { cgroupParent, containerId }: { cgroupParent: string; containerId: string },
): Promise<void> {
  if (mode === "v2") await removeCgroup(mode, leaf(cgroupParent, containerId));
}
