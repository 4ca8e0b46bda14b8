import { mkdir, open, readdir, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { mountMapped } from "../native/idmap.ts";
import { unmountAll } from "./libc.ts";
import { mountOverlay, type OverlayMount } from "./overlay.ts";

/**
 * Mounts an overlay for a user namespace: the layers, which belong to the node's users and are shared, are shown as the
 * namespace's own. Each is mounted below `directory` with its owners mapped, for as long as overlayfs needs to make its own
 * copy of the mount; nothing is copied or chowned. The upper directory's owners are the caller's to set.
 *
 * Throws the system's error: EINVAL where the layers' file system, or the kernel (before 5.19), cannot do it.
 *
 * Source: Linux Documentation/filesystems/idmappings.rst; containerd/containerd core/mount/mount_idmapped_linux.go
 */
export async function mountMappedOverlay(
  wanted: OverlayMount,
  { directory, usersFile }: { directory: string; usersFile: string },
): Promise<void> {
  await using users = await open(usersFile, "r");
  try {
    const lowers: string[] = [];
    for (const [index, source] of wanted.lowers.entries()) {
      const target = join(directory, String(index));
      await mkdir(target, { recursive: true, mode: 0o700 });
      mountMapped({ source, target, userns: users.fd });
      lowers.push(target);
    }
    await mountOverlay({ ...wanted, lowers });
  } finally {
    await releaseMapped(directory);
  }
}

/** Takes away what mountMappedOverlay has mounted for the moment; a crash may have left it. Fine when there is nothing. */
export async function releaseMapped(directory: string): Promise<void> {
  const names = await readdir(directory).catch(absent);
  if (!names) return;
  for (const name of names) {
    unmountAll(join(directory, name));
    await rmdir(join(directory, name)).catch(absent);
  }
  await rmdir(directory).catch(absent);
}

function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}
