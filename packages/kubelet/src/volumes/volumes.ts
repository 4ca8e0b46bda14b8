import { readdir } from "node:fs/promises";
import type { Volume } from "@hawser/api";
import { removeTree } from "@hawser/files";
import { podFolder } from "../pods/paths.ts";
import type { BoundPod } from "../pods/pod.ts";
import { emptyDir, mountPoints } from "./empty-dir.ts";
import { fileVolume } from "./files.ts";
import { hostPath } from "./host-path.ts";
import { type VolumeContext, VolumeError, type VolumePlugin } from "./plugin.ts";

const plugins: Partial<Record<keyof Volume, VolumePlugin>> = {
  emptyDir,
  hostPath,
  configMap: fileVolume,
  secret: fileVolume,
  downwardAPI: fileVolume,
  projected: fileVolume,
};

/**
 * Sets up all volumes of a pod; by name, where each lies on the node. May be repeated.
 *
 * Throws VolumeError, naming the volume and why.
 */
export async function setUpVolumes(context: VolumeContext, pod: BoundPod): Promise<Map<string, string>> {
  const places = new Map<string, string>();
  for (const volume of pod.spec.volumes ?? []) {
    const kind = Object.keys(volume).find((key) => key !== "name") as keyof Volume | undefined;
    const plugin = kind ? plugins[kind] : emptyDir;
    try {
      if (!plugin) throw new VolumeError(`volumes of type ${kind} are not supported`);
      places.set(volume.name, await plugin(context, { pod, volume }));
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new VolumeError(`MountVolume.SetUp failed for volume "${volume.name}" : ${why}`, { cause });
    }
  }
  return places;
}

/** Removes all of a pod's files, what is mounted there first. An unknown pod is a success. */
export async function removePodFolder(
  { folders, run }: Pick<VolumeContext, "folders" | "run">,
  uid: string,
): Promise<void> {
  const folder = podFolder(folders, uid);
  const found = await readdir(folder).catch(() => undefined);
  if (!found) return;
  const mounted = (await mountPoints()).filter((place) => place.startsWith(`${folder}/`));
  for (const place of mounted.reverse()) await run("umount", [place]);
  await removeTree(folder);
}
