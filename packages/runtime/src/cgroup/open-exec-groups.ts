import { mkdir } from "node:fs/promises";
import path from "node:path";
import { fsType, mount, typeOf } from "../native/mount.ts";
import type { CgroupMode } from "../oci/probe.ts";
import { unifiedMount } from "../oci/view.ts";
import type { Paths } from "../paths.ts";
import { type ExecGroups, inheritedExecGroups, nestedExecGroups } from "./exec-groups.ts";

/** Where execs get their own cgroups on this kind of host. */
export async function openExecGroups({ mode, paths }: { mode: CgroupMode; paths: Paths }): Promise<ExecGroups> {
  if (mode === "v2") return nestedExecGroups("/sys/fs/cgroup");
  const mounted = mode === "hybrid" ? unifiedMount : await mountCgroup2(paths.cgroup2);
  const base = path.join(mounted, `hawser-${paths.hash}`);
  await mkdir(base, { recursive: true });
  return inheritedExecGroups(base);
}

/** The v2 hierarchy exists in every kernel, also where all controllers are v1's: it only has to be mounted. */
async function mountCgroup2(directory: string): Promise<string> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  if ((await typeOf(directory)) !== fsType.cgroup2) mount({ source: "none", target: directory, type: "cgroup2" });
  return directory;
}
