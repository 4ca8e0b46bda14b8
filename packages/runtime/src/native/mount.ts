import { readFile, statfs } from "node:fs/promises";
import { limiter } from "../limiter.ts";
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
/**
 * Mounts on their way off at once; the others wait for these. Of Node's four threads, which are all files' too: some stay free.
 */
const limited = limiter(2);

/** mount(2): 0.2 ms, where spawning mount(8) takes ten times as long. Throws the system's error. */
export function mount(options: { source: string; target: string; type?: string; flags?: number; data?: string }): void {
  const { source, target, type = null, flags = 0, data = null } = options;
  if (libc.mount(source, target, type, flags, data) < 0) throw lastError("mount", `${source} on ${target}`);
}

/** Takes a mount away, busy or not. What is not mounted, or not there, is no error: resolves with false. */
export async function unmount(target: string): Promise<boolean> {
  return await umount(target, MNT_DETACH);
}

/** Unmounts everything mounted on `target`, busy or not, and never where a link leads. Fine when nothing is. */
export async function unmountAll(target: string): Promise<void> {
  for (let mounts = 0; mounts < maxStacked; mounts++) {
    if (!(await umount(target, MNT_DETACH | UMOUNT_NOFOLLOW))) return;
  }
  throw new Error(`umount ${target}: more than ${maxStacked} mounts lie on it`);
}

/** unmount(), of the mount namespace that this thread alone is in for the moment. */
export function unmountHere(target: string): void {
  if (libc.umount2Now(target, MNT_DETACH) === 0) return;
  const error = lastError("umount", target);
  if (!isNoMount(error)) throw error;
}

/** On another thread: the kernel waits until no processor looks at the mount any more, 1 to 20 ms. */
function umount(target: string, flags: number): Promise<boolean> {
  return limited(() => {
    const { promise, resolve, reject } = Promise.withResolvers<boolean>();
    libc.umount2.async(target, flags, (_, result) => {
      const error = result < 0 ? lastError("umount", target) : undefined;
      if (error && !isNoMount(error)) reject(error);
      else resolve(error === undefined);
    });
    return promise;
  });
}

function isNoMount({ errno }: NodeJS.ErrnoException): boolean {
  return errno === -EINVAL || errno === -ENOENT;
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
