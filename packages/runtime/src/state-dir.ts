import { chmod, mkdir, rm, rmdir, stat } from "node:fs/promises";
import path from "node:path";
import { removeTree } from "@hawser/files";
import { lockDirectory } from "./native/lock.ts";
import { mountsBelow, unmount } from "./native/mount.ts";
import { claimFile, readClaim } from "./network/other-claims.ts";
import { defaultState, type Paths } from "./paths.ts";

/** What is a runtime's own in its state directory: somebody may have chosen one that has other things in it. */
function ownDirectories({ ociRoot, exits, sockets, netns, ipam, cgroup2 }: Paths): string[] {
  return [ociRoot, exits, sockets, netns, ipam, cgroup2];
}

/** Makes the state directory where it is not there. Resolves with the topmost directory that had to be made for it, if any. */
export async function makeStateDir({ stateDir }: Pick<Paths, "stateDir">): Promise<string | undefined> {
  return await mkdir(stateDir, { recursive: true, mode: 0o711 });
}

/**
 * Holds a state directory until disposed. Throws when another live runtime has it, whatever its root: its exits and addresses are
 * there.
 */
export async function lockState({ stateDir }: Pick<Paths, "stateDir">): Promise<AsyncDisposable> {
  const held = await lockDirectory(stateDir);
  if (held) return held;
  const holder = await readClaim(stateDir);
  const whose = holder ? `the runtime in ${holder.root} (process ${holder.process.pid})` : "another runtime";
  throw new Error(`state directory ${stateDir} is in use by ${whose}`);
}

/**
 * Has a container's user pass through a directory of the runtime's to its root file system; one that was there keeps its mode
 * else.
 * Throws for one like /tmp: anybody could put something in the runtime's place there, and it has to stay as it is for the others.
 */
export async function letThrough(directory: string): Promise<void> {
  const { mode } = await stat(directory);
  if ((mode & 0o002) !== 0) {
    throw new Error(`${directory} can be written by anybody: choose a directory that is the runtime's alone`);
  }
  if ((mode & 0o111) !== 0o111) await chmod(directory, (mode & 0o7777) | 0o111);
}

/**
 * Unmounts and removes what is a runtime's own in its state directory, and then what it has made of the way there (see
 * makeStateDir).
 */
export async function removeState(paths: Paths, made: string | undefined): Promise<void> {
  for (const directory of ownDirectories(paths)) {
    for (const target of await mountsBelow(directory)) await unmount(target);
    await removeTree(directory);
  }
  await rm(path.join(paths.stateDir, claimFile), { force: true });
  await removeWay(paths, made);
}

/** The same, as far as nothing is in it. */
export async function removeEmptyState(paths: Paths, made: string | undefined): Promise<void> {
  for (const directory of ownDirectories(paths)) await removeIfEmpty(directory);
  await removeWay(paths, made);
}

/** The state directory and those above it, as far as they are ours and nothing is in them. */
async function removeWay({ stateDir }: Paths, made: string | undefined): Promise<void> {
  const top = path.dirname(stateDir) === defaultState ? defaultState : made;
  if (top === undefined || !`${stateDir}/`.startsWith(`${top}/`)) return;
  for (let directory = stateDir; directory.length >= top.length; directory = path.dirname(directory)) {
    if (!(await removeIfEmpty(directory))) return;
  }
}

async function removeIfEmpty(directory: string): Promise<boolean> {
  return await rmdir(directory).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return true;
      if (error.code === "ENOTEMPTY" || error.code === "EBUSY" || error.code === "ENOTDIR") return false;
      throw error;
    },
  );
}
