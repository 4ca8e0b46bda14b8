import { constants } from "node:fs";
import { open, readFile } from "node:fs/promises";
import { errno, lastError, libc } from "./libc.ts";

const LOCK_EX = 2;
const LOCK_NB = 4;
const EWOULDBLOCK = 11;

/**
 * Holds `path` for this process, until disposed or dead; our id stands in it. Throws at once when another live process has it,
 * with that one's id and command line.
 */
export async function lockFile(path: string, what: string): Promise<AsyncDisposable> {
  const file = await open(path, "a+", 0o600);
  if (libc.flock(file.fd, LOCK_EX | LOCK_NB) !== 0) {
    const busy = errno() === EWOULDBLOCK;
    const error = busy ? new Error(`${what} is in use by ${await holderOf(path)}`) : lastError("flock", path);
    await file.close();
    throw error;
  }
  await file.truncate(0);
  await file.write(`${process.pid}\n`).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOSPC" && error.code !== "EDQUOT") throw error; // the lock holds; it is nameless
  });
  return file;
}

/**
 * Holds a directory for this process, until disposed or dead, and leaves no file in it. Undefined when another live process
 * has it.
 */
export async function lockDirectory(path: string): Promise<AsyncDisposable | undefined> {
  const directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  if (libc.flock(directory.fd, LOCK_EX | LOCK_NB) === 0) return directory;
  const error = errno() === EWOULDBLOCK ? undefined : lastError("flock", path);
  await directory.close();
  if (error) throw error;
  return undefined;
}

/** The process that has written its id into a lock, in words. */
async function holderOf(path: string): Promise<string> {
  const pid = Number.parseInt(await readFile(path, "utf8").catch(() => ""), 10);
  if (!(pid > 0)) return "another process";
  const line = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
  const command = line.replaceAll("\0", " ").trim().slice(0, 200);
  return command ? `process ${pid} (${command})` : "another process"; // a process of another pid namespace
}
