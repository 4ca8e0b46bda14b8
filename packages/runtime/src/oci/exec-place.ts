import { readFile } from "node:fs/promises";
import path from "node:path";
import { nestedAnnotation, scopeOf } from "../cgroup/parent.ts";
import { controllerPath, hierarchies } from "../cgroup/paths.ts";
import { exists } from "../exists.ts";
import type { IDMappings } from "../native/idmap.ts";
import type { Place } from "./exec-request.ts";
import type { CgroupMode } from "./probe.ts";
import { type OCIRuntime, ownerOf } from "./runtime.ts";
import type { Process, Spec } from "./types.ts";

/** What an exec may need and hawser-exec knows; a container with anything else is entered by the OCI runtime. */
const knownOfProcess: ReadonlySet<string> = new Set<keyof Process>([
  ...(["terminal", "consoleSize", "user", "args", "env", "cwd", "capabilities"] as const),
  ...(["rlimits", "noNewPrivileges", "oomScoreAdj", "apparmorProfile"] as const),
]);
const knownOfUser: ReadonlySet<string> = new Set(["uid", "gid", "additionalGids"]);
/** The rest of these matters to the container's creation alone. */
const knownOfLinux: ReadonlySet<string> = new Set<keyof Spec["linux"]>([
  ...(["namespaces", "cgroupsPath", "resources", "sysctl", "seccomp", "devices"] as const),
  ...(["rootfsPropagation", "maskedPaths", "readonlyPaths", "uidMappings", "gidMappings"] as const),
]);
const knownNamespaces: ReadonlySet<string> = new Set(["pid", "network", "ipc", "uts", "mount", "cgroup", "user"]);
const knownOfSeccomp: ReadonlySet<string> = new Set(["defaultAction", "defaultErrnoRet", "architectures", "syscalls"]);

/** The v1 hierarchy by which systemd tells whose a process is: crun makes nothing of its own there. */
const systemdsOwn = "systemd";

export interface PlaceDependencies {
  oci: OCIRuntime;
  mode: CgroupMode;
  /** Mounts of cgroup v1 hierarchies. */
  hierarchies: string[];
  /** Where each container has its bundle. */
  containersDir: string;
}

export async function readHierarchies(mode: CgroupMode): Promise<string[]> {
  return mode === "v2" ? [] : await hierarchies(mode);
}

/**
 * Where an exec has to go, or in words why hawser-exec cannot take it there and the OCI runtime has to.
 * From the container's own config.json, which the OCI runtime has made it by.
 */
export async function findPlace(
  dependencies: PlaceDependencies,
  { id, cgroupPath }: { id: string; cgroupPath: string },
): Promise<Place | string> {
  const { mode, containersDir } = dependencies;
  const oci = await ownerOf(dependencies.oci, id);
  const spec = JSON.parse(await readFile(path.join(containersDir, id, "config.json"), "utf8")) as Spec;
  const unknown = whatIsUnknown(spec);
  if (unknown) return unknown;
  const seccomp = spec.linux.seccomp ? path.join(oci.root, id, "seccomp.bpf") : undefined;
  if (seccomp && oci.name !== "crun") return `${oci.name} keeps no compiled seccomp filter`;
  if (seccomp && !(await exists(seccomp))) return `${oci.name} has kept no compiled seccomp filter`;
  const limiting = dependencies.hierarchies.find((hierarchy) => path.basename(hierarchy).split(",").includes("pids"));
  const tasks = (hierarchy: string) =>
    path.join(hierarchy, path.basename(hierarchy) === systemdsOwn ? scopeOf(cgroupPath) : cgroupPath, "tasks");
  return {
    // On v2 there is one cgroup only, and the exec's own group is below the container's.
    cgroups: dependencies.hierarchies.filter((hierarchy) => hierarchy !== limiting).map(tasks),
    pids: limiting === undefined ? undefined : tasks(limiting),
    freezer:
      mode === "v2"
        ? path.join(controllerPath(mode, cgroupPath), "cgroup.freeze")
        : path.join(controllerPath(mode, cgroupPath, "freezer"), "freezer.state"),
    seccomp,
    cgroupNamespace: spec.linux.namespaces.some(({ type }) => type === "cgroup"),
    users: usersOf(spec),
  };
}

function whatIsUnknown({ process, linux, annotations }: Spec): string | undefined {
  const stranger = (part: string, known: ReadonlySet<string>, given: object | undefined) => {
    const name = Object.keys(given ?? {}).find((key) => !known.has(key));
    return name === undefined ? undefined : `it has ${part}.${name}`;
  };
  const users = linux.namespaces.some(({ type }) => type === "user");
  const namespace = linux.namespaces.find(({ type }) => !knownNamespaces.has(type));
  const annotation = Object.keys(annotations ?? {}).find(
    (name) => name.startsWith("run.oci.") && name !== nestedAnnotation,
  );
  return (
    stranger("process", knownOfProcess, process) ??
    stranger("process.user", knownOfUser, process.user) ??
    stranger("linux", knownOfLinux, linux) ??
    stranger("linux.seccomp", knownOfSeccomp, linux.seccomp) ??
    (namespace && `it has a ${namespace.type} namespace`) ??
    (users && !usersOf({ linux }) ? "it has a user namespace without mappings" : undefined) ??
    (annotation && `it has the annotation ${annotation}`) ??
    (process.env.some((entry) => entry.startsWith("HOME=")) ? undefined : "it has no HOME")
  );
}

function usersOf({
  linux: { namespaces, uidMappings: uids, gidMappings: gids },
}: Pick<Spec, "linux">): IDMappings | undefined {
  return namespaces.some(({ type }) => type === "user") && uids && gids ? { uids, gids } : undefined;
}
