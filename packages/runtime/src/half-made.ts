import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { removeAbove } from "./cgroup/above.ts";
import { cgroupBelow, isSlice } from "./cgroup/parent.ts";
import { hierarchies, removeCgroup } from "./cgroup/paths.ts";
import { stopSlice } from "./cgroup/systemd.ts";
import { killAll, pidsBelow } from "./cgroup/tree.ts";
import { limiter } from "./limiter.ts";
import { killUntilGone } from "./native/kill.ts";
import type { Reaper } from "./native/reaper.ts";
import { worksOn } from "./native/worker.ts";
import type { CgroupMode } from "./oci/probe.ts";
import type { Last } from "./server/pod-cgroups.ts";

/** Files of /proc read at a time. */
const maxReads = 64;

/** Every process of the node with its command line. */
export async function processes(): Promise<{ pid: number; args: string[] }[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const turn = limiter(maxReads);
  const lines = await Promise.all(
    pids.map((pid) => turn(() => readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => ""))),
  );
  return lines.flatMap((line, index) => (line ? [{ pid: Number(pids[index]), args: line.split("\0") }] : []));
}

/**
 * Ends whoever still works on an object of this id for a runtime that is gone, or gave up: conmon, the OCI runtime and what it
 * has forked, CNI plugins. Resolves when they are gone, so that nothing more is made of it.
 * Throws when they do not go within 5 s.
 */
export async function endWorkers(id: string): Promise<void> {
  await killUntilGone(() => workersOf(id));
}

async function workersOf(id: string): Promise<number[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
  const turn = limiter(maxReads);
  const works = await Promise.all(pids.map((pid) => pid !== process.pid && turn(() => worksOn(pid, id))));
  return pids.filter((_, index) => works[index]);
}

/**
 * Kills what is in a cgroup and below it, after `graceMs` for what ends by itself, and removes it. Idempotent.
 * Throws when processes do not go within 5 s.
 */
export async function endCgroup(mode: CgroupMode, cgroup: string, graceMs = 0): Promise<void> {
  if (!cgroup.startsWith("/") || cgroup === "/") return;
  const directories = (await hierarchies(mode)).map((hierarchy) => path.join(hierarchy, cgroup));
  if (graceMs === 0) await Promise.all(directories.map(killAll));
  await killUntilGone(async () => (await Promise.all(directories.map(pidsBelow))).flat(), graceMs);
  await removeCgroup(mode, cgroup);
}

/**
 * endCgroup() for that of a whole pod, by its last sandbox, with what was made above it; a slice is then stopped, so that systemd
 * forgets it too. One that is not the pod's own, but was made for one below it, goes as what is above goes: when nothing is in it.
 */
export async function endPodCgroup(
  { reaper, cgroupMode }: { reaper: Reaper; cgroupMode: CgroupMode },
  { id, cgroupParent, ownsCgroup, madeAbove = [] }: PodMember,
  { last, graceMs = 0 }: { last: Last; graceMs?: number },
): Promise<void> {
  if (ownsCgroup) await endCgroup(cgroupMode, cgroupParent, graceMs);
  const gone = ownsCgroup ? cgroupParent : cgroupBelow(cgroupParent, id);
  await last.removeAbove((inUse) => removeAbove(cgroupMode, gone, { made: madeAbove, inUse }));
  if (ownsCgroup && isSlice(cgroupParent)) await stopSlice({ reaper }, cgroupParent);
}

interface PodMember {
  id: string;
  cgroupParent: string;
  ownsCgroup: boolean;
  madeAbove?: string[] | undefined;
}
