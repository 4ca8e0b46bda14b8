import path from "node:path";
import type { BoundPod } from "./pod.ts";

/** Where a kubelet keeps a pod's files. */
export interface Folders {
  /** `/var/lib/kubelet` */
  rootDir: string;
  /** `/var/log/pods` */
  podLogsDir: string;
}

export function podsFolder({ rootDir }: Folders): string {
  return path.join(rootDir, "pods");
}

export function podFolder(folders: Folders, uid: string): string {
  // A uid from the API is a path segment here; one that is none must not lead elsewhere.
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/.test(uid))
    throw new Error(`pod uid ${JSON.stringify(uid)} is no file name`);
  return path.join(podsFolder(folders), uid);
}

/** `plugin` as the kubelet escapes it: `kubernetes.io~empty-dir`. */
export function volumeFolder(folders: Folders, uid: string, plugin: string, name: string): string {
  return path.join(podFolder(folders, uid), "volumes", plugin, name);
}

export function etcHostsFile(folders: Folders, uid: string): string {
  return path.join(podFolder(folders, uid), "etc-hosts");
}

/** A container's own files: one termination message per start. */
export function containerFolder(folders: Folders, uid: string, container: string): string {
  return path.join(podFolder(folders, uid), "containers", container);
}

/** `<root>/<namespace>_<name>_<uid>` */
export function podLogFolder({ podLogsDir }: Folders, { metadata }: BoundPod): string {
  return path.join(podLogsDir, `${metadata.namespace}_${metadata.name}_${metadata.uid}`);
}

/** Relative to the pod's log folder, as the CRI wants it: `<container>/<restart>.log` */
export function containerLogPath(container: string, attempt: number): string {
  return path.join(container, `${attempt}.log`);
}
