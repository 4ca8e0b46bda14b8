import { statfs } from "node:fs/promises";
import { OCIError } from "../oci/runtime.ts";

/** Below this a disk counts as full: the blocks of a file, and of what its folder may need, bytes; its inode and its folder's. */
const leastBytes = 16 * 1024;
const leastInodes = 2;

/**
 * The OCI runtime says of a full disk what it stumbled over last ("No such file or directory"): where the disk of `directory` is
 * full, that is added. Any other error is given back as it is.
 */
export async function withDiskRoom(error: unknown, directory: string): Promise<unknown> {
  if (!(error instanceof OCIError)) return error;
  const disk = await statfs(directory).catch(() => undefined);
  if (!disk) return error;
  const isFull = disk.bavail * disk.bsize < leastBytes || (disk.files > 0 && disk.ffree < leastInodes);
  return isFull ? new OCIError(error.command, `${error.message}: no space left on device for ${directory}`) : error;
}
