import path from "node:path";
import { Code, CRIError } from "@hawser/cri";

/** Who makes cgroups: we by the file system, or systemd when it is asked to. */
export type CgroupDriver = "cgroupfs" | "systemd";

/** What the names of our scopes begin with, as containerd's begin with `cri-containerd`. */
const scopePrefix = "hawser";
/** Longest name of a unit, bytes. Source: systemd.unit(5) */
const maxUnitBytes = 255;
/** Characters of a sandbox' id. */
const idLength = 64;

/**
 * The cgroup that a pod's parent names, as a path from the root of the hierarchies.
 *
 * With cgroupfs it is a path; one without its first slash gets it, and slashes and dots that lead nowhere go. With systemd it is
 * a slice, by its name or by a path that ends in it, and it lies where its name says: `kubepods-burstable-pod1.slice` in
 * `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice`.
 *
 * Throws InvalidArgument for a parent in the other driver's style, for what leads out, and for what is no slice's name.
 *
 * Source: systemd.slice(5); cri-o internal/config/cgmgr (its words for the other style); containerd getCgroupsPath (a clean path)
 */
export function cgroupParentPath(parent: string, driver: CgroupDriver): string {
  if (parent.split("/").includes("..") || /[\n\0]/.test(parent)) throw invalid(parent, "is none");
  const plain = path.posix.resolve("/", parent); // without a last slash too: however it is spelt, it is one cgroup
  if (isSlice(plain)) {
    if (driver === "cgroupfs") {
      throw invalid(
        parent,
        "is systemd's: hawser is configured with cgroupfs cgroup driver, but received systemd slice as parent",
      );
    }
    return expandSlice(path.posix.basename(plain));
  }
  if (driver === "systemd") {
    throw invalid(
      parent,
      "is no slice: hawser is configured with systemd cgroup driver, but did not receive slice as parent",
    );
  }
  return plain;
}

/** Is this a slice, by its name or its path? Below it cgroups are systemd's, whatever the driver is by now. */
export function isSlice(cgroup: string): boolean {
  return path.posix.basename(cgroup).endsWith(".slice");
}

/** The cgroup above those of pods for which no parent is given, for the runtime whose root has this hash. */
export function defaultCgroupRoot(hash: string, driver: CgroupDriver): string {
  return driver === "systemd" ? `/hawser_${hash}.slice` : `/hawser-${hash}`; // with a dash it would be below another's
}

/** The slice of a sandbox for which no parent is given, below the one at `parent`. */
export function podSlice(parent: string, sandboxId: string): string {
  return sliceBelow(parent, `pod${sandboxId}`);
}

/** Throws InvalidArgument for a slice whose name is too long for its pods to have theirs below it. */
export function checkPodSlices(parent: string): void {
  if (path.posix.basename(podSlice(parent, "0".repeat(idLength))).length <= maxUnitBytes) return;
  throw invalid(parent, `is too long: names of its pods' slices would have more than ${maxUnitBytes} bytes`);
}

/** The slice of this name below the one at `parent`, which is a path. */
export function sliceBelow(parent: string, name: string): string {
  const above = path.posix.basename(parent, ".slice");
  return path.posix.join(parent, `${above}-${name}.slice`);
}

/** What a container or a sandbox' pause process is put into below its pod's cgroup: in a slice, a scope. */
export function cgroupBelow(parent: string, id: string): string {
  return path.posix.join(parent, isSlice(parent) ? `${scopePrefix}-${id}.scope` : id);
}

/** What a container's limits, counts and processes are in: that, or crun's cgroup below it. */
export function containerCgroup(parent: string, { id, oci }: ContainerPlace): string {
  const nested = isSlice(parent) && oci === "crun";
  return path.posix.join(cgroupBelow(parent, id), nested ? nestedName : "");
}

interface ContainerPlace {
  id: string;
  oci: "crun" | "runc";
}

/** The pod's cgroup, from that of a container. */
export function podCgroupOf(cgroup: string): string {
  return path.posix.dirname(scopeOf(cgroup));
}

/** What systemd knows of a container's cgroup: its scope, without crun's cgroup below it. */
export function scopeOf(cgroup: string): string {
  const nested = path.posix.basename(cgroup) === nestedName && path.posix.dirname(cgroup).endsWith(".scope");
  return nested ? path.posix.dirname(cgroup) : cgroup;
}

/**
 * The name by which the OCI runtime makes such a cgroup: its path, or with systemd `SLICE:PREFIX:ID`.
 *
 * Source: opencontainers/runc docs/systemd.md
 */
export function ociCgroupsPath(parent: string, id: string): string {
  return isSlice(parent) ? `${path.posix.basename(parent)}:${scopePrefix}:${id}` : cgroupBelow(parent, id);
}

/**
 * crun's annotation that names the cgroup which it makes below a scope. It writes limits there by itself, and systemd, which
 * knows nothing of them, may write over those of the scope (on v1 a daemon-reload lifts a quota); runc tells systemd all of them.
 *
 * Source: crun(1)
 */
export const nestedAnnotation = "run.oci.systemd.subgroup";
const nestedName = "container";
/** The annotation by which crun and runc give a scope a property. Source: opencontainers/runc docs/systemd.md */
const collectAnnotation = "org.systemd.property.CollectMode";

/**
 * For a container in a scope: which cgroup crun makes below it, whatever is the default of its version; and that systemd is to
 * forget a scope that has failed, such as one whose process was gone before systemd came to it.
 */
export function scopeAnnotations(ociCgroupsPath: string): { annotations?: Record<string, string> } {
  if (!ociCgroupsPath.includes(":") || ociCgroupsPath.includes("/")) return {};
  return { annotations: { [nestedAnnotation]: nestedName, [collectAnnotation]: "'inactive-or-failed'" } };
}

/** From an OCI runtime's name of a cgroup to its parent, and to itself. */
export function fromOCICgroupsPath(name: string): { parent: string; cgroup: string } {
  const [slice = "", prefix, id, ...more] = name.split(":");
  // A path may have colons too.
  if (name.includes("/") || prefix !== scopePrefix || !id || more.length > 0 || !isSlice(slice)) {
    return { parent: path.posix.dirname(name), cgroup: name };
  }
  const parent = expandSlice(slice);
  return { parent, cgroup: cgroupBelow(parent, id) };
}

/** `a-b.slice` is in `a.slice`. The root slice is refused: all that runs on the node is in it. */
function expandSlice(slice: string): string {
  const parts = slice.slice(0, -".slice".length).split("-");
  const plain = /^[A-Za-z0-9_.\\-]+$/.test(slice) && slice.length <= maxUnitBytes;
  if (!plain || parts.some((part) => !part)) throw invalid(slice, "is no slice that pods can be in");
  return `/${parts.map((_, index) => `${parts.slice(0, index + 1).join("-")}.slice`).join("/")}`;
}

function invalid(parent: string, why: string): CRIError {
  return new CRIError(Code.InvalidArgument, `cgroup parent "${parent}" ${why}`);
}
