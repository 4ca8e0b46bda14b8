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
export function checkPaths({ workingDir, mounts, devices }: ContainerConfig): void {
  checkPath(workingDir, "working directory");
  for (const { hostPath, containerPath } of [...mounts, ...devices]) {
    checkPath(hostPath, "host path");
    checkPath(containerPath, "container path");
  }
}

function refuse(what: string, how: string): never {
  throw new CRIError(Code.InvalidArgument, `${what} ${how}`);
}
