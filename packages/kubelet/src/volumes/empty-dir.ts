import { chmod, chown, mkdir, readFile } from "node:fs/promises";
import { parseQuantity } from "@hawser/api";
import { volumeFolder } from "../pods/paths.ts";
import { type VolumeContext, VolumeError, type VolumeRequest } from "./plugin.ts";

export const emptyDirPlugin = "kubernetes.io~empty-dir";

/** A folder that lives as long as the pod; on a tmpfs when its medium is Memory. */
export async function emptyDir({ folders, run }: VolumeContext, { pod, volume }: VolumeRequest): Promise<string> {
  const { medium = "", sizeLimit } = volume.emptyDir ?? {};
  if (medium !== "" && medium !== "Memory") throw new VolumeError(`unknown storage medium "${medium}"`);
  const folder = volumeFolder(folders, pod.metadata.uid, emptyDirPlugin, volume.name);
  await mkdir(folder, { recursive: true });
  if (medium === "Memory" && !(await isMountPoint(folder))) {
    const size = sizeLimit ? `size=${Math.floor(parseQuantity(String(sizeLimit)))}` : "size=50%";
    await run("mount", ["-t", "tmpfs", "-o", `nosuid,nodev,mode=0777,${size}`, "tmpfs", folder]);
  }
  const group = pod.spec.securityContext?.fsGroup;
  if (group !== undefined) await chown(folder, 0, group);
  await chmod(folder, group === undefined ? 0o777 : 0o2777);
  return folder;
}

export async function isMountPoint(folder: string): Promise<boolean> {
  return (await mountPoints()).includes(folder);
}

/** Every mount point that this process sees, in the order they were mounted. */
export async function mountPoints(): Promise<string[]> {
  const table = await readFile("/proc/self/mountinfo", "utf8");
  return table.split("\n").flatMap((line) => {
    const place = line.split(" ")[4];
    return place
      ? [place.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))]
      : [];
  });
}
