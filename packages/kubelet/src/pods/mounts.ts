import { randomBytes } from "node:crypto";
import { lstat, mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import type { Container } from "@hawser/api";
import { type MessageInitShape, MountPropagation, type MountSchema } from "@hawser/cri";
import { expand } from "./expand.ts";
import { containerFolder, etcHostsFile, type Folders } from "./paths.ts";
import type { BoundPod } from "./pod.ts";
import { ContainerConfigError } from "./security.ts";

type Mount = MessageInitShape<typeof MountSchema>;

const propagations: Record<string, MountPropagation> = {
  None: MountPropagation.PROPAGATION_PRIVATE,
  HostToContainer: MountPropagation.PROPAGATION_HOST_TO_CONTAINER,
  Bidirectional: MountPropagation.PROPAGATION_BIDIRECTIONAL,
};

export interface MountSources {
  folders: Folders;
  /** From setUpVolumes. */
  volumes: Map<string, string>;
  /** For subPathExpr. */
  environment: Map<string, string>;
}

/**
 * What is mounted into one start of a container: its volumes, /etc/hosts, and a fresh file for its termination message.
 *
 * Throws ContainerConfigError for an unknown volume and for a subPath that leaves its volume.
 */
export async function containerMounts(sources: MountSources, pod: BoundPod, container: Container): Promise<Mount[]> {
  const mounts: Mount[] = [];
  for (const mount of container.volumeMounts ?? []) {
    const volume = sources.volumes.get(mount.name);
    if (volume === undefined) throw new ContainerConfigError(`volume mount "${mount.name}" has no volume`);
    const subPath = mount.subPathExpr
      ? expand(mount.subPathExpr, (name) => sources.environment.get(name))
      : (mount.subPath ?? "");
    mounts.push({
      containerPath: path.isAbsolute(mount.mountPath) ? mount.mountPath : `/${mount.mountPath}`,
      hostPath: subPath ? await inside(volume, subPath) : volume,
      readonly: mount.readOnly ?? false,
      propagation: propagations[mount.mountPropagation ?? "None"] ?? MountPropagation.PROPAGATION_PRIVATE,
    });
  }
  const taken = new Set(mounts.map(({ containerPath }) => containerPath));
  if (!taken.has("/etc/hosts")) {
    mounts.push({ containerPath: "/etc/hosts", hostPath: etcHostsFile(sources.folders, pod.metadata.uid) });
  }
  const messagePath = terminationMessagePath(container);
  if (!taken.has(messagePath)) {
    mounts.push({ containerPath: messagePath, hostPath: await messageFile(sources.folders, pod, container) });
  }
  return mounts;
}

export function terminationMessagePath(container: Container): string {
  return container.terminationMessagePath || "/dev/termination-log";
}

async function messageFile(folders: Folders, pod: BoundPod, container: Container): Promise<string> {
  const folder = containerFolder(folders, pod.metadata.uid, container.name);
  await mkdir(folder, { recursive: true, mode: 0o750 });
  const file = path.join(folder, randomBytes(4).toString("hex"));
  await writeFile(file, "", { mode: 0o666 });
  return file;
}

/** A path below a volume, made if it is not there. A link on the way could lead out of the volume: refused. */
async function inside(volume: string, subPath: string): Promise<string> {
  const parts = subPath.split("/").filter((part) => part !== "" && part !== ".");
  if (path.isAbsolute(subPath) || parts.includes("..")) {
    throw new ContainerConfigError(`subPath "${subPath}" must be relative and without ".."`);
  }
  let place = volume;
  for (const part of parts) {
    place = path.join(place, part);
    const found = await lstat(place).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw error;
    });
    if (!found) await mkdir(place, { mode: 0o750 });
    else if (found.isSymbolicLink()) throw new ContainerConfigError(`subPath "${subPath}" contains a symbolic link`);
  }
  return place;
}
