import { constants, copyFile, mkdir, rename, stat } from "node:fs/promises";
import path from "node:path";
import type { LinuxPodSandboxConfig } from "@hawser/cri";
import { Code, CRIError, NamespaceMode } from "@hawser/cri";
import { scopeAnnotations } from "../cgroup/parent.ts";
import type { IDMappings } from "../native/idmap.ts";
import { usernsFile } from "../network/userns.ts";
import { clampOOMScore, type Host } from "./host.ts";
import { type Linux, ociVersion, type Spec } from "./types.ts";

/** Who the pause process is when nothing is said: nobody. */
const pauseUser = 65534;
/** The pod's anchor is the last the OOM killer should take. Source: kubernetes pkg/kubelet/qos/policy.go */
const pauseOOMScore = -998;

/** Makes the one small root filesystem that all pause processes share: the static program and mount points. */
export async function makePauseRoot(directory: string, program: string): Promise<string> {
  for (const name of ["proc", "sys", "dev"]) await mkdir(path.join(directory, name), { recursive: true, mode: 0o755 });
  const target = path.join(directory, "pause");
  const [wanted, there] = await Promise.all([stat(program), stat(target).catch(() => undefined)]);
  if (there?.size === wanted.size && there.mtimeMs >= wanted.mtimeMs) return directory; // also on a disk that is full
  const fresh = `${target}.new`; // pods of a former run go on with the one they have
  await copyFile(program, fresh, constants.COPYFILE_FICLONE);
  await rename(fresh, target);
  return directory;
}

export interface PauseSpecOptions {
  host: Host;
  root: string;
  cgroupsPath: string;
  hostname: string;
  netns: string | undefined;
  /** The pod's own users; their namespace is beside its network's. */
  users?: IDMappings | undefined;
  linux: LinuxPodSandboxConfig | undefined;
}

/** config.json of a sandbox' pause process: it holds the pod's namespaces, and reaps when it is their first process. */
export function pauseSpec(options: PauseSpecOptions): Spec {
  const { host, root, netns, users, linux, cgroupsPath, hostname } = options;
  const security = linux?.securityContext;
  const modes = security?.namespaceOptions;
  const namespaces: Linux["namespaces"] = [{ type: "mount" }];
  if (netns) namespaces.push({ type: "network", path: netns }, { type: "uts" });
  if (modes?.ipc !== NamespaceMode.NODE) namespaces.push({ type: "ipc" });
  if (modes?.pid !== NamespaceMode.NODE) namespaces.push({ type: "pid" });
  const own = userNamespace(netns, users);
  namespaces.push(...own.namespaces);
  const uid = Number(security?.runAsUser?.value ?? pauseUser);
  const gid = Number(security?.runAsGroup?.value ?? uid);
  return {
    ociVersion,
    process: {
      terminal: false,
      user: { uid, gid },
      args: ["/pause", "-P"],
      env: ["PATH=/"],
      cwd: "/",
      noNewPrivileges: true,
      oomScoreAdj: clampOOMScore(host, pauseOOMScore),
      capabilities: { bounding: [], effective: [], permitted: [], inheritable: [], ambient: [] },
    },
    root: { path: root, readonly: true },
    ...(netns && { hostname }),
    mounts: [
      { destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"] },
      // A /dev of its own: the OCI runtime makes devices and links there, and two of them at once, in the root that all
      // pause processes share, get in each other's way (crun 1.8.1: creating symlink for `/dev/ptmx`: File exists).
      { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "mode=755", "size=64k"] },
    ],
    ...scopeAnnotations(cgroupsPath),
    linux: {
      ...own,
      namespaces,
      cgroupsPath,
      ...sysctls(linux, { net: !!netns, ipc: modes?.ipc !== NamespaceMode.NODE }),
    },
  };
}

/**
 * The part of a spec that puts a process into its pod's user namespace. crun reads the mappings from there, runc wants
 * them told as well.
 */
export function userNamespace(
  netns: string | undefined,
  users: IDMappings | undefined,
): Pick<Linux, "namespaces" | "uidMappings" | "gidMappings"> {
  if (!netns || !users) return { namespaces: [] };
  return {
    namespaces: [{ type: "user", path: usernsFile(netns) }],
    uidMappings: users.uids,
    gidMappings: users.gids,
  };
}

const ipcSysctls = ["kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax"];
ipcSysctls.push("kernel.shmmni", "kernel.shm_rmid_forced", "fs.mqueue.");

/**
 * Only what belongs to a namespace the pod has for itself, spelled plainly (CVE-2022-0811).
 * Throws InvalidArgument for any other.
 */
function sysctls(linux: LinuxPodSandboxConfig | undefined, own: { net: boolean; ipc: boolean }): Pick<Linux, "sysctl"> {
  const entries = Object.entries(linux?.sysctls ?? {});
  for (const [name, value] of entries) {
    const plain = name.replaceAll("/", ".");
    const isIPC = ipcSysctls.some((known) => plain === known || (known.endsWith(".") && plain.startsWith(known)));
    const allowed = (own.net && plain.startsWith("net.")) || (own.ipc && isIPC);
    if (!/^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+$/.test(plain) || /[\n\0]/.test(value) || !allowed) {
      throw new CRIError(Code.InvalidArgument, `sysctl "${name}" is not allowed in this pod`);
    }
  }
  return entries.length > 0 ? { sysctl: Object.fromEntries(entries) } : {};
}
