import { readFile } from "node:fs/promises";
import path from "node:path";
import type { CgroupMode } from "../oci/probe.ts";
import { removeTree } from "./tree.ts";

const mountPoint = "/sys/fs/cgroup";

/** The directory of a cgroup in the hierarchy of `controller`; on v2 there is one hierarchy for all. */
export function controllerPath(mode: CgroupMode, cgroup: string, controller = "memory", mount = mountPoint): string {
  return mode === "v2" ? path.join(mount, cgroup) : path.join(mount, controller, cgroup);
}

/** The hierarchies of this host: directories below which cgroups are. */
export async function hierarchies(mode: CgroupMode): Promise<string[]> {
  if (mode === "v2") return [mountPoint];
  const lines = (await readFile("/proc/self/mountinfo", "utf8")).split("\n");
  return lines.flatMap((line) => {
    const [before = "", after = ""] = line.split(" - ");
    const point = before.split(" ")[4];
    return after.startsWith("cgroup ") && point?.startsWith(`${mountPoint}/`) ? [point] : [];
  });
}

/** Removes a cgroup and those below it from every hierarchy, as far as they are empty. Idempotent. */
export async function removeCgroup(mode: CgroupMode, cgroup: string): Promise<void> {
  if (cgroup.split("/").filter(Boolean).length === 0) return;
  await Promise.all((await hierarchies(mode)).map((hierarchy) => removeTree(path.join(hierarchy, cgroup))));
}
