import koffi from "koffi";
import { errno, lastError, type Opaque } from "./libc.ts";

/**
 * Copies of mounts that are nowhere yet, by descriptor. None of these calls waits for anything.
 *
 * Source: open_tree(2), mount_setattr(2), Linux 5.12
 */

const library = koffi.load("libc.so.6");
// The casts give koffi's untyped functions the types of their system calls' arguments.
const openTree = library.func("long syscall(long number, int directory, const char *path, unsigned int flags)") as (
  number: number,
  directory: number,
  path: string,
  flags: number,
) => number;
const mountSetattr = library.func(
  "long syscall(long number, int directory, const char *path, unsigned int flags, void *attributes, size_t size)",
) as (number: number, directory: number, path: string, flags: number, attributes: Opaque, size: number) => number;

const SYS_open_tree = 428;
const SYS_mount_setattr = 442;
const AT_FDCWD = -100;
const AT_EMPTY_PATH = 0x1000;
const AT_RECURSIVE = 0x8000;
const OPEN_TREE_CLONE = 1;
const O_CLOEXEC = 0o2000000;
const EPERM = 1;
const ENOSYS = 38;

/** Source: linux/mount.h */
export const mountAttribute = { readOnly: 0x1n, idMapped: 0x100000n } as const;

/** A mount of what `source` is, with all that is mounted below it when `recursive`: a descriptor, the caller's to close. */
export function copyTree(source: string, { recursive = false } = {}): number {
  const flags = OPEN_TREE_CLONE | O_CLOEXEC | (recursive ? AT_RECURSIVE : 0);
  const tree = openTree(SYS_open_tree, AT_FDCWD, source, flags);
  if (tree < 0) throw lastError("open_tree", source);
  return tree;
}

/** Gives such a mount its attributes. Throws the system's error, which says `what`. */
export function setAttributes(
  tree: number,
  { set, userns = 0, recursive = false, what }: { set: bigint; userns?: number; recursive?: boolean; what: string },
): void {
  // struct mount_attr: set, clear, propagation, userns_fd
  const attributes = new Uint8Array(new BigUint64Array([set, 0n, 0n, BigInt(userns)]).buffer);
  const flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);
  if (mountSetattr(SYS_mount_setattr, tree, "", flags, attributes, attributes.length) < 0) {
    throw lastError("mount_setattr", what);
  }
}

/** Does the kernel have mount_setattr(2), by which a mount and all below it become read-only? */
export function hasMountSetattr(ask = askWithoutSize): boolean {
  const { done, why } = ask();
  return done || (why !== ENOSYS && why !== EPERM); // a seccomp filter, such as an older Docker's, answers with either
}

/** It refuses a size of 0. */
function askWithoutSize(): { done: boolean; why: number } {
  const done = mountSetattr(SYS_mount_setattr, -1, "", 0, new Uint8Array(1), 0) >= 0;
  return { done, why: errno() };
}
