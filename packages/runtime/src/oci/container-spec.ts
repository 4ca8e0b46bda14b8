import path from "node:path";
import {
  Code,
  type ContainerConfig,
  CRIError,
  type LinuxContainerSecurityContext,
  NamespaceMode,
  SupplementalGroupsPolicy,
} from "@hawser/cri";
import { scopeAnnotations } from "../cgroup/parent.ts";
import { type IDMappings, rootOf } from "../native/idmap.ts";
import { makeDirectoryInRoot, readInRoot } from "../native/in-root.ts";
import type { ResourceRecord } from "../store/records.ts";
import { capabilitySets } from "./capabilities.ts";
import { grantDevices } from "./devices.ts";
import { clampOOMScore, type Host } from "./host.ts";
import { userNamespace } from "./pause-spec.ts";
import { compact, ociResources } from "./resources.ts";
import { seccompFor } from "./seccomp.ts";
import { baseMounts, mergeMounts, type RequestedMounts } from "./spec-mounts.ts";
import { type Linux, type Mount, ociVersion, type Process, type Spec } from "./types.ts";
import { maxUserFileBytes, resolveUser } from "./users.ts";

/** What an image says of its containers. */
export interface ImageSettings {
  User?: string;
  Env?: string[] | null;
  Entrypoint?: string[] | null;
  Cmd?: string[] | null;
  WorkingDir?: string;
}

export interface ContainerSpecOptions {
  host: Host;
  config: ContainerConfig;
  image: ImageSettings;
  /** The mounted root filesystem. */
  rootfs: string;
  cgroupsPath: string;
  resources: ResourceRecord;
  rlimits?: Process["rlimits"];
  mounts: RequestedMounts;
  /** The image's own volumes; a requested mount of the same place wins. */
  volumes?: Mount[];
  /** Paths of the namespaces shared with the pod or another container; absent ones are the node's. */
  namespaces: Linux["namespaces"];
  /** The ids of the user namespace among them. */
  users?: IDMappings | undefined;
  hostname: string;
  /** The AppArmor profile's name; undefined for none. */
  appArmorProfile?: string | undefined;
  shm: string;
  files: Record<string, string>;
}

/**
 * A container's config.json: the request's fields over the image's.
 *
 * Throws InvalidArgument for what cannot be (no command, an unknown user, an unknown capability).
 *
 * Source: containerd/containerd internal/cri/server/container_create_linux.go
 */
export async function containerSpec(options: ContainerSpecOptions): Promise<Spec> {
  const { host, config, image, rootfs, mounts } = options;
  const security = config.linux?.securityContext;
  const privileged = security?.privileged ?? false;
  const files = await userFiles(rootfs);
  const { user, home } = resolveUser(userRequest(security, image.User ?? ""), files);
  const asked = config.workingDir || image.WorkingDir || "/";
  if (!asked.startsWith("/")) throw new CRIError(Code.InvalidArgument, `working directory "${asked}" is not absolute`);
  const cwd = path.posix.resolve(asked);
  if (cwd !== "/") makeDirectoryInRoot(rootfs, cwd, options.users && rootOf(options.users));
  const capabilities = capabilitySets(host, {
    privileged,
    capability: security?.capabilities,
    nonRoot: user.uid !== 0,
  });
  const [devices, seccomp] = await Promise.all([
    grantDevices(config.devices, privileged),
    seccompFor({
      profile: security?.seccomp,
      deprecatedPath: security?.seccompProfilePath ?? "",
      privileged,
      bounding: capabilities.bounding,
    }),
  ]);
  const readonlyRootfs = security?.readonlyRootfs ?? false;
  const process: Process = compact({
    terminal: config.tty,
    user,
    args: commandLine(config, image),
    env: environment(config, image, { home, hostname: options.hostname }),
    cwd,
    capabilities,
    rlimits: options.rlimits,
    noNewPrivileges: security?.noNewPrivs ?? false,
    oomScoreAdj: clampOOMScore(host, options.resources.oomScoreAdj ?? 0),
    apparmorProfile: options.appArmorProfile,
  }) as Process; // nothing that Process requires is undefined above
  return {
    ociVersion,
    process,
    root: { path: rootfs, readonly: readonlyRootfs },
    // A container in the node's UTS namespace keeps the node's name.
    ...(options.namespaces.some(({ type, path }) => type === "uts" && !path) && { hostname: options.hostname }),
    mounts: mergeMounts(
      [
        ...baseMounts({ privileged, cgroup: host.cgroup, shm: options.shm, files: options.files, readonlyRootfs }),
        ...(options.volumes ?? []),
      ],
      mounts.mounts,
    ),
    ...scopeAnnotations(options.cgroupsPath),
    linux: {
      namespaces: options.namespaces,
      ...(options.users && { uidMappings: options.users.uids, gidMappings: options.users.gids }),
      cgroupsPath: options.cgroupsPath,
      resources: { ...ociResources(options.resources, host.cgroup), devices: devices.rules },
      rootfsPropagation: mounts.rootfsPropagation,
      ...(devices.devices.length > 0 && { devices: devices.devices }),
      ...(seccomp && { seccomp }),
      ...(!privileged && {
        maskedPaths: security?.maskedPaths ?? [],
        readonlyPaths: security?.readonlyPaths ?? [],
      }),
    },
  };
}

async function userFiles(rootfs: string) {
  const [passwd = "", group = ""] = await Promise.all([
    readInRoot(rootfs, "/etc/passwd", maxUserFileBytes),
    readInRoot(rootfs, "/etc/group", maxUserFileBytes),
  ]);
  return { passwd, group };
}

function userRequest(security: LinuxContainerSecurityContext | undefined, imageUser: string) {
  const uid = security?.runAsUser?.value;
  const gid = security?.runAsGroup?.value;
  if (gid !== undefined && uid === undefined && !security?.runAsUsername) {
    throw new CRIError(Code.InvalidArgument, "user group is specified without user");
  }
  return {
    uid: uid === undefined ? undefined : Number(uid),
    gid: gid === undefined ? undefined : Number(gid),
    username: security?.runAsUsername || undefined,
    supplementalGroups: (security?.supplementalGroups ?? []).map(Number),
    strictGroups: security?.supplementalGroupsPolicy === SupplementalGroupsPolicy.Strict,
    imageUser,
  };
}

/** Command replaces the image's entrypoint and its cmd; args alone replace its cmd. */
function commandLine(config: ContainerConfig, image: ImageSettings): string[] {
  const command = config.command.length > 0 ? config.command : (image.Entrypoint ?? []);
  const imageArgs = config.command.length > 0 ? [] : (image.Cmd ?? []);
  const line = [...command, ...(config.args.length > 0 ? config.args : imageArgs)];
  if (line.length === 0) throw new CRIError(Code.InvalidArgument, "no command specified");
  return line;
}

function environment(
  config: ContainerConfig,
  image: ImageSettings,
  { home, hostname }: { home: string; hostname: string },
): string[] {
  const env = new Map<string, string>();
  const set = (entry: string) => {
    const at = entry.indexOf("=");
    if (at > 0) env.set(entry.slice(0, at), entry.slice(at + 1));
  };
  set("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
  if (config.tty) set("TERM=xterm");
  set(`HOSTNAME=${hostname}`);
  for (const entry of image.Env ?? []) set(entry);
  for (const { key, value } of config.envs) env.set(key, Buffer.from(value).toString());
  if (!env.has("HOME")) env.set("HOME", home);
  return [...env].map(([key, value]) => `${key}=${value}`);
}

/**
 * The namespaces of a container: those of the pod by its pause process, its own, or the node's.
 * `targetPid` is the first process of the container a PID namespace is shared with.
 */
export function containerNamespaces(options: {
  pausePid: number;
  network: NamespaceMode;
  ipc: NamespaceMode;
  pid: NamespaceMode;
  netns: string | undefined;
  users: IDMappings | undefined;
  targetPid: number | undefined;
  cgroup: "v1" | "v2";
}): Linux["namespaces"] {
  const of = (pid: number, name: string) => `/proc/${pid}/ns/${name}`;
  const { pausePid, targetPid } = options;
  const list: Linux["namespaces"] = [{ type: "mount" }];
  if (options.netns) {
    list.push({ type: "network", path: options.netns }, { type: "uts", path: of(pausePid, "uts") });
  }
  if (options.ipc !== NamespaceMode.NODE) list.push({ type: "ipc", path: of(pausePid, "ipc") });
  if (options.pid === NamespaceMode.CONTAINER) list.push({ type: "pid" });
  if (options.pid === NamespaceMode.POD) list.push({ type: "pid", path: of(pausePid, "pid") });
  if (options.pid === NamespaceMode.TARGET && targetPid) list.push({ type: "pid", path: of(targetPid, "pid") });
  list.push(...userNamespace(options.netns, options.users).namespaces);
  if (options.cgroup === "v2") list.push({ type: "cgroup" });
  return list;
}
