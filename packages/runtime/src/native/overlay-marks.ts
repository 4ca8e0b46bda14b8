import { lastError, libc } from "./libc.ts";

const S_IFCHR = 0o020000;

/**
 * Makes overlayfs' whiteout, a character device 0/0: what is below it does not show. Throws the system's error.
 *
 * Source: Linux Documentation/filesystems/overlayfs.rst
 */
export function makeWhiteout(path: Buffer): void {
  if (libc.mknod(terminated(path), S_IFCHR, 0) < 0) throw lastError("mknod", path.toString("latin1"));
}

/** Marks a directory as overlayfs': nothing below shows in it. Throws the system's error. */
export function markOpaque(path: Buffer): void {
  const value = Buffer.from("y");
  if (libc.lsetxattr(terminated(path), "trusted.overlay.opaque", value, value.length, 0) < 0) {
    throw lastError("lsetxattr", path.toString("latin1"));
  }
}

function terminated(path: Buffer): Buffer {
  return Buffer.concat([path, Buffer.alloc(1)]);
}
