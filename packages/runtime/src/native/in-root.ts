import { fstatSync, lchownSync } from "node:fs";
import { open } from "node:fs/promises";
import { O_PATH, readAtMost } from "@hawser/files";
import { closeQuietly, errno, lastError, libc } from "./libc.ts";

const SYS_openat2 = 437;
const O_RDONLY = 0;
const O_NONBLOCK = 0o4000;
const O_DIRECTORY = 0o200000;
const O_CLOEXEC = 0o2000000;
const RESOLVE_NO_MAGICLINKS = 0x02;
const RESOLVE_IN_ROOT = 0x10;
const ENOENT = 2;
const EEXIST = 17;

/**
 * Reads a file of a root filesystem as a process inside would see it: links are followed, but never out of the root.
 * Undefined when it is not there. Throws for what is not a regular file, or is larger than `maxBytes`.
 */
export async function readInRoot(root: string, path: string, maxBytes: number): Promise<string | undefined> {
  const fd = openInRoot(root, path, O_PATH | O_CLOEXEC);
  if (fd === undefined) return undefined;
  try {
    // Known before it is opened: a pipe would be waited for, and a device touched.
    if (!fstatSync(fd).isFile()) throw new Error("is not a file");
    await using file = await open(`/proc/self/fd/${fd}`, O_RDONLY | O_NONBLOCK);
    return (await readAtMost(file, maxBytes)).toString("utf8");
  } catch (cause) {
    throw new Error(`${path} of the image: ${cause instanceof Error ? cause.message : cause}`, { cause });
  } finally {
    closeQuietly(fd);
  }
}

/** Makes a directory and its parents, `owner`'s, in a root filesystem; links are followed but never out of it. */
export function makeDirectoryInRoot(root: string, path: string, owner = { uid: 0, gid: 0 }): void {
  const parts = path.split("/").filter(Boolean);
  for (let depth = 1; depth <= parts.length; depth++) {
    const parent = openInRoot(root, `/${parts.slice(0, depth - 1).join("/")}`, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (parent === undefined) throw new Error(`${path} is in the way of the working directory`);
    try {
      const name = parts[depth - 1] ?? "";
      if (name === ".." || name === ".") throw new Error(`working directory ${path} is not plain`);
      if (libc.mkdirat(parent, name, 0o755) === 0) {
        if (owner.uid !== 0 || owner.gid !== 0) lchownSync(`/proc/self/fd/${parent}/${name}`, owner.uid, owner.gid);
      } else if (errno() !== EEXIST) throw lastError("mkdir", path);
    } finally {
      closeQuietly(parent);
    }
  }
}

/** A descriptor of a directory inside `root`, to name what is in it by; undefined when it is not there. */
export function openDirectoryInRoot(root: string, path: string): number | undefined {
  return openInRoot(root, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/** A descriptor of a path inside `root`; undefined when there is nothing. */
function openInRoot(root: string, path: string, flags: number): number | undefined {
  const rootFd = libc.open(root, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
  if (rootFd < 0) throw lastError("open", root);
  try {
    return openBelow(rootFd, path, flags);
  } finally {
    closeQuietly(rootFd);
  }
}

/** The same below a root that is open: its descriptor stays open. */
export function openBelow(rootFd: number, path: string, flags: number): number | undefined {
  const how = new BigUint64Array([BigInt(flags), 0n, BigInt(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)]);
  const fd = libc.openat2(SYS_openat2, rootFd, path, new Uint8Array(how.buffer), how.byteLength);
  if (fd >= 0) return fd;
  if (errno() === ENOENT) return undefined;
  throw lastError("openat2", path);
}
