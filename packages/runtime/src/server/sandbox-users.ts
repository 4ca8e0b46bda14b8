import { stat } from "node:fs/promises";
import path from "node:path";
import { Code, CRIError, type IDMapping, NamespaceMode, type PodSandboxConfig } from "@hawser/cri";
import type { IDMappings } from "../native/idmap.ts";

/** Lines of one mapping. Source: Linux include/linux/user_namespace.h, UID_GID_MAP_MAX_EXTENTS */
const maxLines = 340;

/** The id that means none. Source: Linux kernel/user_namespace.c, map_write() */
const maxId = 0xffffffff;

/**
 * The ids of a pod's own user namespace; undefined for the node's users.
 *
 * Throws InvalidArgument for what is no mapping with a root, and for what cannot be with users of one's own: the node's
 * network, processes or IPC belong to the node's users.
 */
export function sandboxUsers(config: PodSandboxConfig): IDMappings | undefined {
  const options = config.linux?.securityContext?.namespaceOptions;
  const users = options?.usernsOptions;
  if (!options || !users) return undefined;
  if (users.mode === NamespaceMode.NODE) {
    if (users.uids.length || users.gids.length) refuse("the node's users have no mappings");
    return undefined;
  }
  if (users.mode !== NamespaceMode.POD) refuse("a user namespace is the pod's or the node's");
  for (const name of ["network", "pid", "ipc"] as const) {
    if (options[name] === NamespaceMode.NODE) refuse(`a pod with users of its own cannot have the node's ${name}`);
  }
  return { uids: linesOf("uids", users.uids), gids: linesOf("gids", users.gids) };
}

/** Also for mounts: the kubelet gives them the mappings of their pod. */
export function linesOf(name: string, mappings: readonly IDMapping[]): IDMappings["uids"] {
  const lines = mappings.map(({ containerId, hostId, length }) => ({
    containerID: containerId,
    hostID: hostId,
    size: length,
  }));
  if (lines.length > maxLines) refuse(`more than ${maxLines} ${name} mappings`);
  if (lines.some(({ size }) => size === 0)) refuse(`a mapping of ${name} is empty`);
  if (!lines.some(({ containerID }) => containerID === 0)) refuse(`the mappings of ${name} have no root`);
  for (const side of ["containerID", "hostID"] as const) {
    const sorted = lines.toSorted((a, b) => a[side] - b[side]);
    if (sorted.some((line, at) => line[side] + line.size > (sorted[at + 1]?.[side] ?? maxId))) {
      refuse(`mappings of ${name} overlap, or go beyond ${maxId - 1}`);
    }
  }
  return lines;
}

/**
 * Throws FailedPrecondition when a folder above the runtime's own cannot be passed by users who are nobody on the node:
 * the OCI runtime's words for it do not say which.
 */
export async function checkPassable(root: string): Promise<void> {
  const { mode } = await stat(root);
  if ((mode & 0o001) === 0) {
    const advice = `chmod o+x ${root}, or keep the runtime's data elsewhere`;
    throw new CRIError(Code.FailedPrecondition, `user namespace: its users cannot pass ${root}; ${advice}`);
  }
  const above = path.dirname(root);
  if (above !== root) await checkPassable(above);
}

function refuse(reason: string): never {
  throw new CRIError(Code.InvalidArgument, `user namespace: ${reason}`);
}
