import { mkdir, open, readdir, rm, rmdir, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { mountMapped } from "../native/idmap.ts";
import { unmountAll } from "../native/mount.ts";
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

/**
 * Mounts a directory or file of the node on `target`, which is made, so that its owners are the same ids in the user namespace
 * as they are on the node. Throws the system's error: EINVAL where its file system cannot do it.
 */
export async function mountMappedVolume(options: { source: string; target: string; usersFile: string }): Promise<void> {
  const { source, target, usersFile } = options;
  await mkdir(dirname(target), { recursive: true, mode: 0o711 });
  if ((await stat(source)).isDirectory()) await mkdir(target, { mode: 0o711 });
  else await writeFile(target, "");
  await using users = await open(usersFile, "r");
  mountMapped({ source, target, userns: users.fd, recursive: true });
}

/** Takes away what these two have mounted directly below `directory`. Fine when there is nothing. */
export async function releaseMapped(directory: string): Promise<void> {
  const names = await readdir(directory).catch(absent);
  if (!names) return;
  for (const name of names) {
    const target = join(directory, name);
    await unmountAll(target);
    // Never recursive: were it mounted still, that would empty what is mounted.
    await rmdir(target).catch((error: NodeJS.ErrnoException) =>
      error.code === "ENOTDIR" ? rm(target) : absent(error),
    );
  }
  await rmdir(directory).catch(absent);
}

function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}
