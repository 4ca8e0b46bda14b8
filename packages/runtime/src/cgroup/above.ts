import path from "node:path";
import { exists } from "../exists.ts";
import type { CgroupMode } from "../oci/probe.ts";
import { isSlice } from "./parent.ts";
import { hierarchies } from "./paths.ts";
import { removeIfEmpty } from "./tree.ts";

/**
 * What of a cgroup and of those above it is ours to remove: of each hierarchy the topmost directory that is ours already, by what
 * was noted of `others`, or, where the cgroup itself is to be `made`, that is not there. Nothing of slices, which systemd makes and
 * removes.
 */
export async function oursAbove(
  mode: CgroupMode,
  cgroup: string,
  { others, made }: { others: readonly string[]; made: boolean },
): Promise<string[]> {
  if (isSlice(cgroup)) return [];
  const ours = new Set(others);
  const groups = [cgroup, ...above(cgroup)].reverse();
  const tops = (await hierarchies(mode)).map(async (hierarchy) => {
    for (const directory of groups.map((group) => path.join(hierarchy, group))) {
      if (ours.has(directory) || (made && !(await exists(directory)))) return directory;
    }
    return undefined;
  });
  return (await Promise.all(tops)).filter((top) => top !== undefined);
}

/**
 * Removes what was made above a cgroup that is gone, by what oursAbove() said before it was made: as far as nothing is in it by now,
 * and nobody is `inUse` of it, whose cgroup, in it or below, may be about to be made.
 * Idempotent.
 */
export async function removeAbove(
  mode: CgroupMode,
  cgroup: string,
  { made, inUse = [] }: { made: readonly string[]; inUse?: readonly string[] },
): Promise<void> {
  if (made.length === 0) return;
  for (const hierarchy of await hierarchies(mode)) {
    const groups = above(cgroup);
    const top = groups.findIndex((group) => made.includes(path.join(hierarchy, group)));
    for (const group of groups.slice(0, top + 1)) {
      if (inUse.some((other) => isWithin(other, group))) break;
      if (!(await removeIfEmpty(path.join(hierarchy, group)))) break;
    }
  }
}

/** Is a cgroup another one, or below it? */
export function isWithin(cgroup: string, other: string): boolean {
  return `${cgroup}/`.startsWith(`${other}/`);
}

/** The cgroups between one and the root, the nearest first. */
function above(cgroup: string): string[] {
  const found: string[] = [];
  for (let at = path.posix.dirname(cgroup); at !== "/" && at !== "."; at = path.posix.dirname(at)) found.push(at);
  return found;
}
