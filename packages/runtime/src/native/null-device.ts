import { openSync } from "node:fs";
import { closeQuietly } from "./libc.ts";
import { copyTree, mountAttribute, setAttributes } from "./mount-tree.ts";

let device: number | undefined;

/**
 * /dev/null, open for as long as this process is; nobody's to close.
 *
 * By a read-only mount of its own, which is nowhere: what is written to it vanishes as always, but neither a container that
 * has it as a stream (`chmod 0 /proc/self/fd/0`) nor an OCI runtime (crun gives streams to the container's user) can change
 * mode or owner of the node's /dev/null by it. The plain one where the kernel has no such mounts, or we may not mount.
 */
export function devNull(): number {
  device ??= openReadOnly() ?? openSync("/dev/null", "r+");
  return device;
}

function openReadOnly(): number | undefined {
  let tree: number | undefined;
  try {
    tree = copyTree("/dev/null");
    setAttributes(tree, { set: mountAttribute.readOnly, what: "/dev/null" });
    return openSync(`/proc/self/fd/${tree}`, "r+");
  } catch {
    return undefined;
  } finally {
    closeQuietly(tree);
  }
}
