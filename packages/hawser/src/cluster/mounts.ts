import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";

const run = promisify(execFile);

/**
 * Mount points below `folder`, deepest and latest first: the order to unmount them in. The folder itself may be one, and
 * is then its owner's.
 */
export async function mountsBelow(folder: string): Promise<string[]> {
  return mountPoints(await readFile("/proc/self/mountinfo", "utf8"), folder);
}

/** From the text of /proc/self/mountinfo, whose 5th field is the mount point, with spaces and the like as \040. */
export function mountPoints(mountinfo: string, folder: string): string[] {
  const points = mountinfo.split("\n").flatMap((line) => {
    const point = line
      .split(" ")[4]
      ?.replaceAll(/\\([0-7]{3})/g, (_all, octal) => String.fromCharCode(Number.parseInt(octal, 8)));
    return point?.startsWith(`${folder}/`) ? [point] : [];
  });
  return points.reverse();
}

/**
 * Unmounts everything below `folder`; what is in use goes when its last user does. Throws when something stays:
 * then nothing below may be removed.
 */
export async function unmountBelow(folder: string): Promise<void> {
  const points = await mountsBelow(folder);
  if (points.length === 0) return;
  for (const point of points) {
    await run("umount", ["--lazy", "--no-mtab", point]).catch(() => {}); // what counts is whether it is still there
  }
  const left = await mountsBelow(folder);
  if (left.length > 0) throw new Error(`cannot unmount ${left.join(", ")}`);
}
