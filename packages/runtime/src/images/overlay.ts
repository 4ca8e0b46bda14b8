import { open, stat, statfs } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { mount } from "../native/mount.ts";
import { turn } from "../turns.ts";

/** Longest mount data: one page, less its NUL. Source: Linux fs/namespace.c, copy_mount_options. */
const maxOptions = 4095;
/** What statfs(2) says of an overlay. Source: Linux include/uapi/linux/magic.h, OVERLAYFS_SUPER_MAGIC. */
const overlayMagic = 0x794c7630;

export interface OverlayMount {
  /** Topmost first; at least one. */
  lowers: readonly string[];
  upper: string;
  work: string;
  target: string;
}

/**
 * Mounts an overlay in the calling process' mount namespace.
 *
 * Many layers do not fit into the 4 KiB that mount(2) takes. Then the lower directories are named through a descriptor of
 * the directory they share, `/proc/self/fd/N/12/fs`: no change of the working directory, which all threads share.
 * `index=off`, as containerd and CRI-O do: after a restart in another mount namespace the old mount may still be there.
 */
export async function mountOverlay(wanted: OverlayMount): Promise<void> {
  try {
    await mountOnce(wanted);
  } catch (cause) {
    const { type } = await statfs(wanted.upper);
    if (type !== overlayMagic) throw cause;
    throw new Error(
      `cannot mount ${wanted.target}: it lies on an overlay file system itself, as inside a container; put the root directory on a volume`,
      { cause },
    );
  }
}

async function mountOnce({ lowers, upper, work, target }: OverlayMount): Promise<void> {
  await turn();
  const options = overlayOptions(lowers, upper, work);
  if (options.length <= maxOptions) {
    mount({ source: "overlay", target, type: "overlay", data: options });
    return;
  }
  const shared = dirname(dirname(lowers[0] ?? "/"));
  const directory = await open(shared, "r");
  try {
    const short = lowers.map((lower) =>
      dirname(dirname(lower)) === shared
        ? `/proc/self/fd/${directory.fd}/${basename(dirname(lower))}/${basename(lower)}`
        : lower,
    );
    const shorter = overlayOptions(short, upper, work);
    if (shorter.length > maxOptions) throw new Error(`cannot mount ${target}: too many layers (${lowers.length})`);
    mount({ source: "overlay", target, type: "overlay", data: shorter });
  } finally {
    await directory.close();
  }
}

/** Is something mounted on the directory? False when it does not exist. */
export async function isMounted(target: string): Promise<boolean> {
  const [here, above] = await Promise.all([target, dirname(target)].map((path) => stat(path).catch(() => undefined)));
  return here !== undefined && above !== undefined && here.dev !== above.dev;
}

function overlayOptions(lowers: readonly string[], upper: string, work: string): string {
  const lower = lowers.map((path) => escapeOption(path).replaceAll(":", "\\:")).join(":");
  return `index=off,lowerdir=${lower},upperdir=${escapeOption(upper)},workdir=${escapeOption(work)}`;
}

/** Source: Linux Documentation/filesystems/overlayfs.rst: backslashes and separators are escaped by a backslash. */
function escapeOption(path: string): string {
  return path.replaceAll("\\", "\\\\").replaceAll(",", "\\,");
}
