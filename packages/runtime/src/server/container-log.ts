import { constants } from "node:fs";
import { lstat, open, rm, stat } from "node:fs/promises";
import path from "node:path";
import { Code, CRIError } from "@hawser/cri";

/** Longest name of a file, longest path, bytes. Source: Linux include/uapi/linux/limits.h */
const [maxName, maxPath] = [255, 4095];
/**
 * What conmon makes first when it reopens a log, and then renames. Source: containers/conmon src/ctr_logging.c, reopen_k8s_file
 */
const fresh = ".tmp";

/**
 * Where a container's log goes; "" for nowhere, when either part is empty. As with containerd the file may be outside of the
 * sandbox's log directory.
 *
 * Throws InvalidArgument for what is a directory by its name, what no file can be called, also when the log is reopened, and a
 * colon, at which conmon would end the path.
 */
export function logPathOf(logDirectory: string, logPath: string): string {
  if (!logDirectory || !logPath) return "";
  const file = path.join(logDirectory, logPath);
  const names = file.split("/");
  const directories = `${path.join(logDirectory)}/`;
  if (file.endsWith("/") || directories.startsWith(`${file}/`)) refuse(logPath, "is a directory");
  if (file.includes(":")) refuse(logPath, "has a colon, also in its directory, where conmon would cut it");
  const longest = maxName - fresh.length;
  if (Buffer.byteLength(names.pop() ?? "") > longest) refuse(logPath, `has a name of more than ${longest} bytes`);
  if (names.some((name) => Buffer.byteLength(name) > maxName))
    refuse(logPath, `has a name of more than ${maxName} bytes`);
  if (Buffer.byteLength(file) > maxPath - fresh.length) refuse(logPath, `has more than ${maxPath} bytes`);
  return file;
}

/** Throws InvalidArgument when what is there cannot be a log: conmon would end, or wait for a reader of a FIFO. */
export async function checkNewLog(file: string): Promise<void> {
  const there = await stat(file).catch(() => undefined); // what keeps the file from being made, conmon says
  if (there?.isDirectory()) refuse(file, "is a directory");
  if (there?.isFIFO() || there?.isSocket()) refuse(file, "is no file");
}

/**
 * Sees to it that conmon can reopen a log: it ends, and its container with it, when it cannot. The file that it makes first is
 * there then, so that a full disk is found here.
 *
 * Throws FailedPrecondition, or ResourceExhausted when there is no room; in words that say why. The container runs on, and writes
 * to the file it had.
 */
export async function prepareReopening(file: string): Promise<void> {
  const there = await lstat(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw cannot(file, error); // no directory is found below
  });
  if (there && !there.isFile() && !there.isSymbolicLink()) throw cannot(file, "it is no file");
  const { O_WRONLY, O_CREAT, O_NONBLOCK, O_NOFOLLOW } = constants;
  const flags = O_WRONLY | O_CREAT | O_NONBLOCK | O_NOFOLLOW;
  try {
    await using made = await open(`${file}${fresh}`, flags, 0o600);
    if ((await made.stat()).isFile()) return;
  } catch (error) {
    throw cannot(file, error as NodeJS.ErrnoException); // of the system, as open and stat have no other
  }
  throw cannot(file, `${path.basename(file)}${fresh}, which conmon makes first, is no file`);
}

/** Takes away what prepareReopening has made, when conmon has ended before it took it. */
export async function undoReopening(file: string): Promise<void> {
  await rm(`${file}${fresh}`, { force: true });
}

function cannot(file: string, why: NodeJS.ErrnoException | string): CRIError {
  const [reason, code, cause] = typeof why === "string" ? [why] : [why.message, why.code, why];
  const full = code === "ENOSPC" || code === "EDQUOT";
  return new CRIError(
    full ? Code.ResourceExhausted : Code.FailedPrecondition,
    `cannot reopen the log "${file}": ${reason}; the container writes to the file it had`,
    { cause },
  );
}

function refuse(file: string, how: string): never {
  throw new CRIError(Code.InvalidArgument, `log path "${file}" ${how}`);
}
