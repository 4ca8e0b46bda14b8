import { stat } from "node:fs/promises";
import { Code, type ContainerConfig, CRIError } from "@hawser/cri";

/** Longest path, and longest name in one, bytes. Source: Linux include/uapi/linux/limits.h, PATH_MAX without its NUL; NAME_MAX */
const maxPathBytes = 4095;
const maxNameBytes = 255;

/** Throws InvalidArgument for a path that no kernel takes. */
export function checkPath(path: string, what: string): void {
  if (Buffer.byteLength(path) > maxPathBytes) refuse(what, `has more than ${maxPathBytes} bytes`);
  if (path.split("/").some((name) => Buffer.byteLength(name) > maxNameBytes)) {
    refuse(what, `has a name of more than ${maxNameBytes} bytes`);
  }
}

/** checkPath() for all paths a container's config names. */
export function checkPaths({ workingDir, logPath, mounts, devices }: ContainerConfig): void {
  checkPath(workingDir, "working directory");
  checkPath(logPath, "log path");
  for (const { hostPath, containerPath } of [...mounts, ...devices]) {
    checkPath(hostPath, "host path");
    checkPath(containerPath, "container path");
  }
}

/**
 * conmon opens a log for writing, and would wait for the reader of a pipe. Throws InvalidArgument for what is there and is not a
 * file, and for a path that is too long with its directory.
 */
export async function checkLogFile(path: string): Promise<void> {
  checkPath(path, "log path");
  const there = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT")
      throw new CRIError(Code.InvalidArgument, `log path ${error.message}`, { cause: error });
  });
  if (there && !there.isFile()) refuse(`log path "${path}"`, "is not a file");
}

function refuse(what: string, how: string): never {
  throw new CRIError(Code.InvalidArgument, `${what} ${how}`);
}
