import { execFile } from "node:child_process";
import { readdir, rmdir } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import type { KubeletContext } from "../context.ts";
import type { BoundPod } from "./pod.ts";
import { cgroupParent, slicePath } from "./sandbox-config.ts";

const mount = "/sys/fs/cgroup";
/** How long systemd may take to forget a slice that is empty, milliseconds. */
const patience = 30_000;
/** What systemctl exits with when it knows no such unit. Source: systemctl(1) */
const notLoaded = 5;

/** Removes a pod's empty cgroup in every hierarchy, as a slice too; one that still has processes stays. */
export async function removePodCgroup(
  { settings, cgroupDriver, log }: Pick<KubeletContext, "settings" | "cgroupDriver" | "log">,
  pod: BoundPod,
): Promise<void> {
  const place = cgroupParent(pod, { driver: cgroupDriver, root: settings.cgroupRoot });
  const stays = (error: unknown) => log.at(2, "cgroup stays", { place, error });
  let removed = false;
  for (const root of await hierarchies()) {
    try {
      await removeTree(path.join(root, place));
      removed = true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") stays(error);
    }
  }
  if (removed && cgroupDriver === "systemd") await stopSlice(place).catch(stays);
}

/** Removes the empty cgroups above the pods': for the end of a kubelet whose pods are all gone. */
export async function removeKubepods({
  settings,
  cgroupDriver,
}: Pick<KubeletContext, "settings" | "cgroupDriver">): Promise<void> {
  const roots = await hierarchies();
  for (const below of [["besteffort"], ["burstable"], []]) {
    const place = groupPath(cgroupDriver, [...settings.cgroupRoot.split("/").filter(Boolean), "kubepods", ...below]);
    let removed = false;
    for (const root of roots) {
      // A folder that has processes or children refuses; that is all the checking there is to do.
      const gone = await rmdir(path.join(root, place)).then(
        () => true,
        () => false,
      );
      removed ||= gone;
    }
    if (removed && cgroupDriver === "systemd") await stopSlice(place).catch(() => undefined); // an empty one more or less
  }
}

function groupPath(driver: KubeletContext["cgroupDriver"], names: string[]): string {
  return driver === "systemd" ? slicePath(names) : path.join("/", ...names);
}

/**
 * Has systemd forget a slice that is empty. Throws with its words when it does not.
 *
 * A runtime has a stopSlice() of its own, for its way to start programs; hops import nothing of each other, and this is no wire
 * that two of them speak.
 */
async function stopSlice(place: string): Promise<void> {
  const args = ["stop", "--quiet", "--", path.basename(place)];
  await promisify(execFile)("systemctl", args, { timeout: patience }).catch((error: { code?: unknown }) => {
    if (error.code !== notLoaded) throw error;
  });
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
