import { lchown, mkdir } from "node:fs/promises";
import path from "node:path";
import { Code, CRIError } from "@hawser/cri";
import { type IDMappings, rootOf } from "../native/idmap.ts";
import { openDirectoryInRoot } from "../native/in-root.ts";
import { closeQuietly } from "../native/libc.ts";
import type { Reaper } from "../native/reaper.ts";
import { runOrThrow } from "../native/spawn.ts";
import type { Mount } from "../oci/types.ts";

/** Volumes one image may have. */
const maxVolumes = 64;

export interface ImageVolumesOptions {
  /** Where the container keeps its files: the volumes lie in `<directory>/image-volumes`, and go with its root. */
  directory: string;
  rootfs: string;
  /** The image's Volumes: paths in the container. */
  volumes: Record<string, unknown> | null | undefined;
  /** Where the request mounts something itself. */
  taken: readonly string[];
  users: IDMappings | undefined;
}

/**
 * Makes the volumes that an image declares: writable, also where the root is not, and filled with what the image has there.
 * What the request mounts in the same place wins. Throws InvalidArgument for paths that are none.
 *
 * A path's links are followed inside the root alone (CVE-2022-23648).
 *
 * Source: containerd/containerd internal/cri/server/container_create.go (volumeMounts)
 */
export async function imageVolumes({ reaper }: { reaper: Reaper }, options: ImageVolumesOptions): Promise<Mount[]> {
  const { directory, rootfs, taken, users } = options;
  const wanted = Object.keys(options.volumes ?? {}).filter((place) => !taken.includes(path.posix.resolve("/", place)));
  if (wanted.length > maxVolumes)
    throw new CRIError(Code.InvalidArgument, `the image has more than ${maxVolumes} volumes`);
  const mounts: Mount[] = [];
  for (const [index, place] of wanted.sort().entries()) {
    if (!place.startsWith("/") || path.posix.resolve(place) === "/") {
      throw new CRIError(Code.InvalidArgument, `the image's volume "${place}" is not a path below the root`);
    }
    const source = path.join(directory, "image-volumes", String(index));
    await mkdir(source, { recursive: true, mode: 0o755 });
    if (users) await lchown(source, rootOf(users).uid, rootOf(users).gid);
    const image = openDirectoryInRoot(rootfs, place);
    try {
      // With owners, times and attributes; the dot gives the directory itself the image's.
      const args = ["-a", "--", `/proc/${process.pid}/fd/${image}/.`, source];
      if (image !== undefined) await runOrThrow({ reaper }, { path: "/bin/cp", args });
    } finally {
      closeQuietly(image);
    }
    mounts.push({ destination: path.posix.resolve(place), type: "bind", source, options: ["rbind", "rprivate", "rw"] });
  }
  return mounts;
}
