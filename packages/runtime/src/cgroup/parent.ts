import path from "node:path";
import { Code, CRIError } from "@hawser/cri";

/**
 * The cgroup that a pod's parent names, as a path. A kubelet with the systemd driver names a slice
 * (`kubepods-burstable-pod1.slice`), which lies where its name says: `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice`.
 * A path without its first slash gets it. Throws InvalidArgument for what leads out, or is no slice's name.
 *
 * Source: systemd.slice(5); opencontainers/runc libcontainer/cgroups/systemd/common.go (ExpandSlice)
 */
export function cgroupParentPath(parent: string): string {
  const refuse = (): never => {
    throw new CRIError(Code.InvalidArgument, `cgroup parent "${parent}" is none`);
  };
  if (parent.split("/").includes("..") || /[\n\0]/.test(parent)) refuse();
  if (!parent.endsWith(".slice") || parent.includes("/")) return path.posix.join("/", parent);
  const name = parent.slice(0, -".slice".length);
  if (name === "-") return "/";
  const parts = name.split("-");
  if (parts.some((part) => !part)) refuse();
  return `/${parts.map((_, index) => `${parts.slice(0, index + 1).join("-")}.slice`).join("/")}`;
}
