import { readFile, statfs } from "node:fs/promises";
import { lastError, libc } from "./libc.ts";

/**
 * Mount flags. Source: linux/mount.h
 */
export const MS = {
  readonly: 1,
  nosuid: 2,
  nodev: 4,
  noexec: 8,
  remount: 32,
  bind: 4096,
  recursive: 16384,
  private: 1 << 18,
  slave: 1 << 19,
} as const;

/** File system types of statfs(2). Source: linux/magic.h */
export const fsType = { tmpfs: 0x01021994, cgroup2: 0x63677270, nsfs: 0x6e736673 } as const;

const MNT_DETACH = 2;
const UMOUNT_NOFOLLOW = 8;
/** Mounts that may lie on one another. */
const maxStacked = 64;
const EINVAL = 22;
const ENOENT = 2;

/** mount(2): 0.2 ms, where spawning mount(8) takes ten times as long. Throws the system's error. */
export function mount(options: { source: string; target: string; type?: string; flags?: number; data?: string }): void {
  const { source, target, type = null, flags = 0, data = null } = options;
  if (libc.mount(source, target, type, flags, data) < 0) throw lastError("mount", `${source} on ${target}`);
}

/** Takes a mount away, busy or not. What is not mounted, or not there, is no error: returns false. */
export function unmount(target: string): boolean {
  if (libc.umount2(target, MNT_DETACH) === 0) return true;
  const error = lastError("umount", target);
  if (error.errno === -EINVAL || error.errno === -ENOENT) return false;
  throw error;
}

/** Unmounts everything mounted on `target`, busy or not, and never where a link leads. Fine when nothing is. */
export function unmountAll(target: string): void {
  for (let mounts = 0; mounts < maxStacked; mounts++) {
    if (libc.umount2(target, MNT_DETACH | UMOUNT_NOFOLLOW) === 0) continue;
    const error = lastError("umount", target);
    if (error.errno === -EINVAL || error.errno === -ENOENT) return;
    throw error;
  }
  throw new Error(`umount ${target}: more than ${maxStacked} mounts lie on it`);
}

/** The file system type of a path; undefined when there is nothing. */
export async function typeOf(path: string): Promise<number | undefined> {
  try {
    return (await statfs(path)).type;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Mount points below `directory` (and itself) in this mount namespace, the innermost first. */
export async function mountsBelow(directory: string, pid: number | "self" = "self"): Promise<string[]> {
  const table = await readFile(`/proc/${pid}/mountinfo`, "utf8");
  return table
    .split("\n")
    .flatMap((line) => line.split(" ")[4] ?? [])
    .map(plainPath)
    .filter((path) => path === directory || path.startsWith(`${directory}/`))
    .reverse();
}

/** mountinfo writes space, tab, newline and backslash in octal. */
function plainPath(path: string): string {
  return path.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
