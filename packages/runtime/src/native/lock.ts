import { open } from "node:fs/promises";
import { errno, lastError, libc } from "./libc.ts";

const LOCK_EX = 2;
const LOCK_NB = 4;
const EWOULDBLOCK = 11;

/**
 * Holds `path` for this process, until disposed or dead. Throws at once when another live process has it.
 */
export async function lockFile(path: string, what: string): Promise<AsyncDisposable> {
  const file = await open(path, "a", 0o600);
  if (libc.flock(file.fd, LOCK_EX | LOCK_NB) === 0) return file;
  const busy = errno() === EWOULDBLOCK;
  const error = busy ? new Error(`${what} is in use by another process`) : lastError("flock", path);
  await file.close();
  throw error;
}
