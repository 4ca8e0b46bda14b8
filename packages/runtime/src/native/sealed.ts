import { readFile } from "node:fs/promises";
import { closeQuietly, errno, lastError, libc } from "./libc.ts";
import { writeAll } from "./spawn.ts";

const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const MFD_EXEC = 0x10;
const F_ADD_SEALS = 1033;
const allSeals = 0x1 | 0x2 | 0x4 | 0x8; // seal, shrink, grow, write
const EINVAL = 22;

/** A program that nobody can change any more, whoever gets hold of it. */
export interface SealedProgram extends Disposable {
  /** To spawn it by. */
  path: string;
}

/**
 * Copies a program into memory and seals it: a process in a container that finds its way to /proc/PID/exe of what we run
 * there cannot overwrite it for the next one (CVE-2019-5736), nor does a change of the file matter.
 */
export async function sealProgram(file: string, name: string): Promise<SealedProgram> {
  const bytes = await readFile(file);
  let fd = libc.memfdCreate(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
  // A kernel before 6.3 does not know MFD_EXEC, nor the setting that makes it necessary.
  if (fd < 0 && errno() === EINVAL) fd = libc.memfdCreate(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) throw lastError("memfd_create", name);
  try {
    writeAll(fd, bytes);
    if (libc.fcntl(fd, F_ADD_SEALS, allSeals) < 0) throw lastError("fcntl", "F_ADD_SEALS");
  } catch (error) {
    closeQuietly(fd);
    throw error;
  }
  // By our own pid: in the child, its descriptors are closed before it executes.
  return { path: `/proc/${process.pid}/fd/${fd}`, [Symbol.dispose]: () => closeQuietly(fd) };
}
