import { writeFileSync } from "node:fs";
import koffi from "koffi";
import { closeQuietly, lastError } from "./libc.ts";
import { copyTree, mountAttribute, setAttributes } from "./mount-tree.ts";

/**
 * Mounts whose owners are shown in another range of ids. None of these calls waits for anything.
 *
 * Source: mount_setattr(2), move_mount(2), user_namespaces(7)
 */

const library = koffi.load("libc.so.6");
// The cast gives koffi's untyped function the types of its system call's arguments.
const moveMount = library.func(
  "long syscall(long number, int from, const char *path, int to, const char *target, unsigned int flags)",
) as (number: number, from: number, path: string, to: number, target: string, flags: number) => number;

const SYS_move_mount = 429;
const AT_FDCWD = -100;
const MOVE_MOUNT_F_EMPTY_PATH = 4;

/** `size` ids: `containerID` inside is `hostID` on the node. As the OCI spec names them. */
export interface IDMapping {
  containerID: number;
  hostID: number;
  size: number;
}

export interface IDMappings {
  uids: IDMapping[];
  gids: IDMapping[];
}

/** What an id inside is on the node. Throws when the mapping does not have it. */
export function onNode(mappings: readonly IDMapping[], id: number): number {
  const found = mappings.find(({ containerID, size }) => id >= containerID && id - containerID < size);
  if (!found) throw new Error(`id ${id} is not in the user namespace`);
  return found.hostID + (id - found.containerID);
}

/** Who root inside is on the node. */
export function rootOf({ uids, gids }: IDMappings): { uid: number; gid: number } {
  return { uid: onNode(uids, 0), gid: onNode(gids, 0) };
}

/** Gives a user namespace that has none yet its mappings. Throws the system's error: EINVAL for overlapping ones. */
export function writeMappings(pid: number, { uids, gids }: IDMappings): void {
  const lines = (mappings: IDMapping[]) =>
    mappings.map(({ containerID, hostID, size }) => `${containerID} ${hostID} ${size}\n`).join("");
  writeFileSync(`/proc/${pid}/gid_map`, lines(gids));
  writeFileSync(`/proc/${pid}/uid_map`, lines(uids));
}

/**
 * Mounts `source` on `target` so that its owners are shown shifted as the user namespace behind the descriptor
 * `userns` maps them: what is 0's there is shown as the mapped root's. With all that is mounted below it when `recursive`.
 * Throws the system's error: EINVAL where the file system cannot do it.
 */
export function mountMapped(options: { source: string; target: string; userns: number; recursive?: boolean }): void {
  const { source, target, userns, recursive = false } = options;
  const tree = copyTree(source, { recursive });
  try {
    setAttributes(tree, { set: mountAttribute.idMapped, userns, recursive, what: `${source}, to map its owners` });
    if (moveMount(SYS_move_mount, tree, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) < 0) {
      throw lastError("move_mount", target);
    }
  } finally {
    closeQuietly(tree);
  }
}
