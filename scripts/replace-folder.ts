import { mkdir, rename, rm } from "node:fs/promises";
import koffi from "koffi";

/** Source: Linux include/uapi/linux/fs.h; fcntl.h */
const RENAME_EXCHANGE = 2;
const AT_FDCWD = -100;

/**
 * Puts the folder `fresh` in the place of `target`, at once: whoever looks there sees the one or the other, whole.
 * What was there is removed. Both are to lie on one file system; `target` need not exist.
 */
export async function replaceFolder(fresh: string, target: string): Promise<void> {
  await mkdir(target, { recursive: true });
  if (!exchange(fresh, target)) {
    // A file system that cannot do it (overlayfs with some options, NFS): for a moment there is nothing.
    const old = `${fresh}.old`;
    await rename(target, old);
    await rename(fresh, target);
    await rm(old, { recursive: true });
    return;
  }
  await rm(fresh, { recursive: true });
}

function exchange(one: string, other: string): boolean {
  const signature = "int renameat2(int from, const char *one, int to, const char *other, unsigned int flags)";
  const renameat2 = koffi.load("libc.so.6").func(signature);
  return renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE) === 0;
}
