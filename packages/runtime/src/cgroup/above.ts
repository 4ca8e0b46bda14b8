import { access } from "node:fs/promises";
import path from "node:path";
import type { CgroupMode } from "../oci/probe.ts";
import { isSlice } from "./parent.ts";
import { hierarchies } from "./paths.ts";
import { removeIfEmpty } from "./tree.ts";

/**
 * What has to be made above a cgroup so that it can be: of each hierarchy the topmost directory that is not there, or that is
 * ours already, by what was noted of `others`. Nothing of slices, which systemd makes and removes.
 */
export async function missingAbove(
  mode: CgroupMode,
  cgroup: string,
  others: readonly string[] = [],
): Promise<string[]> {
  if (isSlice(cgroup)) return [];
  const ours = new Set(others);
  const tops = (await hierarchies(mode)).map(async (hierarchy) => {
    for (const directory of above(hierarchy, cgroup).reverse()) {
      if (ours.has(directory) || !(await isThere(directory))) return directory;
    }
    return undefined;
  });
  return (await Promise.all(tops)).filter((top) => top !== undefined);
}

/**
 * Removes what was made above a cgroup that is gone, by what missingAbove() said before it was made: as far as nothing is in it
 * by now.
 * Idempotent.
 */
export async function removeAbove(mode: CgroupMode, cgroup: string, made: readonly string[]): Promise<void> {
  if (made.length === 0) return;
  for (const hierarchy of await hierarchies(mode)) {
    const directories = above(hierarchy, cgroup);
    const top = directories.findIndex((directory) => made.includes(directory));
    for (const directory of directories.slice(0, top + 1)) if (!(await removeIfEmpty(directory))) break;
  }
}

/** The directories between a cgroup and the root of its hierarchy, the nearest first. */
function above(hierarchy: string, cgroup: string): string[] {
  const found: string[] = [];
  for (let at = path.posix.dirname(cgroup); at !== "/" && at !== "."; at = path.posix.dirname(at)) {
    found.push(path.join(hierarchy, at));
  }
  return found;
}

async function isThere(directory: string): Promise<boolean> {
  return await access(directory).then(
    () => true,
    () => false,
  );
}
