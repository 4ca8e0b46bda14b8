import { mkdir, realpath } from "node:fs/promises";
import path from "node:path";
import { Code, CRIError, type Mount as CRIMount, MountPropagation } from "@hawser/cri";
import type { MountRecord } from "../store/records.ts";
import type { Host } from "./host.ts";
import { isOneOf } from "./is-one-of.ts";
import type { Mount } from "./types.ts";

export interface BaseMountOptions {
  privileged: boolean;
  cgroup: "v1" | "v2";
  /** The pod's /dev/shm, or the node's. */
  shm: string;
  /** Files of the sandbox by their place in the container: /etc/hosts, /etc/hostname, /etc/resolv.conf. */
  files: Record<string, string>;
  readonlyRootfs: boolean;
}

/**
 * What every container has mounted.
 *
 * Source: containerd/containerd pkg/oci/mounts.go, internal/cri/server/container_create_linux.go
 */
export function baseMounts({ privileged, shm, files, readonlyRootfs }: BaseMountOptions): Mount[] {
  const access = privileged ? "rw" : "ro";
  const kernel = ["nosuid", "noexec", "nodev"];
  return [
    { destination: "/proc", type: "proc", source: "proc", options: kernel },
    {
      destination: "/dev",
      type: "tmpfs",
      source: "tmpfs",
      options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
    },
    {
      destination: "/dev/pts",
      type: "devpts",
      source: "devpts",
      options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    },
    { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: kernel },
    { destination: "/sys", type: "sysfs", source: "sysfs", options: [...kernel, access] },
    { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: [...kernel, "relatime", access] },
    {
      destination: "/dev/shm",
      type: "bind",
      source: shm,
      options: ["rbind", "rprivate", "rw", "nosuid", "nodev", "noexec"],
    },
    ...Object.entries(files).map(([destination, source]) => ({
      destination,
      type: "bind",
      source,
      options: ["rbind", "rprivate", readonlyRootfs ? "ro" : "rw"],
    })),
  ];
}

export interface RequestedMounts {
  mounts: Mount[];
  records: MountRecord[];
  /** Of the container's root, so that the mounts below may propagate. */
  rootfsPropagation: "rprivate" | "rslave" | "rshared";
}

/**
 * The mounts a request asks for: host paths with their links resolved, made as directories where nothing is.
 * Throws InvalidArgument, FailedPrecondition for recursive read-only where the kernel has it not, or Unimplemented for what we do
 * not do: images as volumes.
 */
export async function requestedMounts(
  host: Pick<Host, "recursiveReadOnly">,
  requested: CRIMount[],
): Promise<RequestedMounts> {
  const mounts: Mount[] = [];
  const records: MountRecord[] = [];
  let rootfsPropagation: RequestedMounts["rootfsPropagation"] = "rprivate";
  for (const mount of requested) {
    const { containerPath, hostPath, propagation, readonly } = mount;
    refuse(host, mount);
    const source = await hostSource(hostPath);
    const options = ["rbind", readonly ? (mount.recursiveReadOnly ? "rro" : "ro") : "rw"];
    if (propagation === MountPropagation.PROPAGATION_BIDIRECTIONAL) {
      options.push("rshared");
      rootfsPropagation = "rshared";
    } else if (propagation === MountPropagation.PROPAGATION_HOST_TO_CONTAINER) {
      options.push("rslave");
      if (rootfsPropagation === "rprivate") rootfsPropagation = "rslave";
    } else {
      options.push("rprivate");
    }
    mounts.push({ destination: containerPath, type: "bind", source, options });
    records.push({ containerPath, hostPath, readonly, propagation, recursiveReadOnly: mount.recursiveReadOnly });
  }
  return { mounts, records, rootfsPropagation };
}

/** Base mounts give way to requested ones for the same place; parents come before what lies in them. */
export function mergeMounts(base: Mount[], requested: Mount[]): Mount[] {
  const taken = new Set(requested.map(({ destination }) => clean(destination)));
  const all = [...base.filter(({ destination }) => !taken.has(clean(destination))), ...requested];
  const depth = ({ destination }: Mount) => clean(destination).split("/").filter(Boolean).length;
  return all
    .map((mount, index) => ({ mount, index }))
    .sort((a, b) => depth(a.mount) - depth(b.mount) || a.index - b.index)
    .map(({ mount }) => mount);
}

function refuse(
  host: Pick<Host, "recursiveReadOnly">,
  { propagation, containerPath, hostPath, image, recursiveReadOnly, readonly }: CRIMount,
) {
  if (image?.image) throw new CRIError(Code.Unimplemented, "an image as a volume is not implemented");
  if (!containerPath.startsWith("/")) {
    throw new CRIError(
      Code.InvalidArgument,
      `mount of "${hostPath}": container path "${containerPath}" is not absolute`,
    );
  }
  if (path.posix.resolve(containerPath) === "/") {
    throw new CRIError(Code.InvalidArgument, `mount of "${hostPath}": container path "${containerPath}" is its root`);
  }
  if (!isOneOf(MountPropagation, propagation)) {
    throw new CRIError(Code.InvalidArgument, `mount of "${hostPath}": propagation ${propagation} is unknown`);
  }
  if (!hostPath.startsWith("/"))
    throw new CRIError(Code.InvalidArgument, `mount host path "${hostPath}" is not absolute`);
  if (recursiveReadOnly && (!readonly || propagation !== MountPropagation.PROPAGATION_PRIVATE)) {
    throw new CRIError(
      Code.InvalidArgument,
      `mount of "${hostPath}": recursive read-only needs read-only and private propagation`,
    );
  }
  if (recursiveReadOnly && !host.recursiveReadOnly) {
    throw new CRIError(
      Code.FailedPrecondition,
      `mount of "${hostPath}": recursive read-only needs mount_setattr(2), which this kernel has not, or does not allow`,
    );
  }
}

async function hostSource(hostPath: string): Promise<string> {
  try {
    return await realpath(hostPath);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    await mkdir(hostPath, { recursive: true, mode: 0o755 });
    return await realpath(hostPath);
  }
}

function clean(destination: string): string {
  return `/${destination
    .split("/")
    .filter((part) => part && part !== ".")
    .join("/")}`;
}
