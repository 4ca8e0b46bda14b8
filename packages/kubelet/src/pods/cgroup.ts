import { readdir, rmdir } from "node:fs/promises";
import path from "node:path";
import type { KubeletContext } from "../context.ts";
import type { BoundPod } from "./pod.ts";
import { cgroupParent } from "./sandbox-config.ts";

const mount = "/sys/fs/cgroup";

/** Removes a pod's empty cgroup in every hierarchy; one that still has processes stays. */
export async function removePodCgroup(
  { settings, cgroupDriver, log }: Pick<KubeletContext, "settings" | "cgroupDriver" | "log">,
  pod: BoundPod,
): Promise<void> {
  const place = cgroupParent(pod, { driver: cgroupDriver, root: settings.cgroupRoot });
  for (const root of await hierarchies()) {
    await removeTree(path.join(root, place)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") log.at(2, "cgroup stays", { path: path.join(root, place), error });
    });
  }
}

/** Removes the empty cgroups above the pods': for the end of a kubelet whose pods are all gone. */
export async function removeKubepods({
  settings,
  cgroupDriver,
}: Pick<KubeletContext, "settings" | "cgroupDriver">): Promise<void> {
  const names =
    cgroupDriver === "systemd" ? ["kubepods-besteffort", "kubepods-burstable"] : ["besteffort", "burstable"];
  const suffix = cgroupDriver === "systemd" ? ".slice" : "";
  for (const root of await hierarchies()) {
    const top = path.join(root, settings.cgroupRoot, `kubepods${suffix}`);
    // A folder that has processes or children refuses; that is all the checking there is to do.
    for (const name of names) await rmdir(path.join(top, name + suffix)).catch(() => undefined);
    await rmdir(top).catch(() => undefined);
  }
}

/** The roots of all hierarchies: one with cgroup v2, one per controller with v1. */
async function hierarchies(): Promise<string[]> {
  const entries = await readdir(mount, { withFileTypes: true });
  if (entries.some(({ name }) => name === "cgroup.controllers")) return [mount];
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => path.join(mount, name));
}

async function removeTree(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) await removeTree(path.join(folder, entry.name));
  }
  await rmdir(folder);
}
