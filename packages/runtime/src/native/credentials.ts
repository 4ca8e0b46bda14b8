import { lastError, libc } from "./libc.ts";

const LINUX_CAPABILITY_VERSION_3 = 0x20080522;

/** Capabilities that decide about files. Source: linux/capability.h CAP_FS_MASK, but for making devices */
const ofFiles = { CAP_CHOWN: 0, CAP_DAC_OVERRIDE: 1, CAP_DAC_READ_SEARCH: 2, CAP_FOWNER: 3, CAP_FSETID: 4 };

export interface FileUser {
  uid: number;
  gid: number;
  groups: number[];
  /** Names of effective capabilities; only those about files are kept. */
  capabilities: string[];
}

/**
 * From here on the calling thread's file calls are that user's, with no capability but what he has of those about files.
 * There is no way back. Only for a process whose one thread does all of its work on files: Node's pool has other threads.
 */
export function becomeFileUser({ uid, gid, groups, capabilities }: FileUser): void {
  process.setgroups?.(groups);
  libc.setfsgid(gid);
  libc.setfsuid(uid);
  let bits = 0;
  for (const [name, bit] of Object.entries(ofFiles)) if (capabilities.includes(name)) bits |= 1 << bit;
  const header = new Uint8Array(new Uint32Array([LINUX_CAPABILITY_VERSION_3, 0]).buffer);
  // Effective, permitted and inheritable of the first 32 capabilities, then of the others.
  const data = new Uint8Array(new Uint32Array([bits, bits, 0, 0, 0, 0]).buffer);
  if (libc.capset(header, data) < 0) throw lastError("capset", "");
  // They answer the id before: asked once more with an id that cannot be, they tell what counts now.
  if (libc.setfsuid(0xffffffff) !== uid || libc.setfsgid(0xffffffff) !== gid) {
    throw new Error(`cannot act on files as user ${uid}:${gid}`);
  }
}
