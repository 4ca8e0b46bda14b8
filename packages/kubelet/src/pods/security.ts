import path from "node:path";
import type { Container } from "@hawser/api";
import {
  type LinuxContainerSecurityContextSchema,
  type LinuxSandboxSecurityContextSchema,
  type MessageInitShape,
  NamespaceMode,
  type NamespaceOptionSchema,
  SecurityProfile_ProfileType as ProfileType,
  type SecurityProfileSchema,
} from "@hawser/cri";
import { type BoundPod, podText } from "./pod.ts";

/** What no container but a privileged one may see, and may write. Source: kubernetes pkg/securitycontext/util.go */
const maskedPaths = [
  "/proc/asound",
  "/proc/acpi",
  "/proc/interrupts",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/sys/firmware",
  "/sys/devices/virtual/powercap",
];
const readonlyPaths = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/** A container cannot be made as its pod asks. Shown as CreateContainerConfigError. */
export class ContainerConfigError extends Error {
  override readonly name = "ContainerConfigError";
}

type NamespaceOptions = MessageInitShape<typeof NamespaceOptionSchema>;

function namespaceOptions({ spec }: BoundPod): NamespaceOptions {
  const pid = spec.hostPID
    ? NamespaceMode.NODE
    : spec.shareProcessNamespace
      ? NamespaceMode.POD
      : NamespaceMode.CONTAINER;
  return {
    network: spec.hostNetwork ? NamespaceMode.NODE : NamespaceMode.POD,
    pid,
    ipc: spec.hostIPC ? NamespaceMode.NODE : NamespaceMode.POD,
  };
}

/** How profiles are looked up and what stands in for a missing one. */
export interface ProfileSettings {
  seccompDefault: boolean;
  /** Profiles of type Localhost lie in `<root>/seccomp`. */
  rootDir: string;
}

export function sandboxSecurity(
  pod: BoundPod,
  settings: ProfileSettings,
): MessageInitShape<typeof LinuxSandboxSecurityContextSchema> {
  const own = pod.spec.securityContext ?? {};
  const privileged = [...(pod.spec.initContainers ?? []), ...pod.spec.containers].some(
    ({ securityContext }) => securityContext?.privileged,
  );
  return {
    privileged,
    namespaceOptions: namespaceOptions(pod),
    // The pause process runs under the runtime's own profile unless the pod says otherwise.
    seccomp: own.seccompProfile ? profile(own.seccompProfile, settings) : { profileType: ProfileType.RuntimeDefault },
    supplementalGroups: groups(pod),
    ...appArmor(own.appArmorProfile),
    ...seLinux(own.seLinuxOptions),
    ...(own.runAsUser !== undefined && { runAsUser: { value: BigInt(own.runAsUser) } }),
    ...(own.runAsGroup !== undefined && { runAsGroup: { value: BigInt(own.runAsGroup) } }),
  };
}

export interface ContainerSecurityOptions extends ProfileSettings {
  /** What the image says it runs as. */
  imageUser: { uid?: bigint | undefined; username: string };
  /** For an ephemeral container: the id of the container whose processes it sees. */
  targetId?: string | undefined;
}

/**
 * The container's security context; its own word goes before the pod's.
 *
 * Throws ContainerConfigError when runAsNonRoot forbids the user it would run as.
 */
export function containerSecurity(
  pod: BoundPod,
  container: Container,
  options: ContainerSecurityOptions,
): MessageInitShape<typeof LinuxContainerSecurityContextSchema> {
  const ofPod = pod.spec.securityContext ?? {};
  const own = container.securityContext ?? {};
  const runAsUser = own.runAsUser ?? ofPod.runAsUser;
  const runAsGroup = own.runAsGroup ?? ofPod.runAsGroup;
  if (own.runAsNonRoot ?? ofPod.runAsNonRoot) refuseRoot(pod, container, runAsUser, options.imageUser);
  const privileged = own.privileged ?? false;
  const unmasked = privileged || own.procMount === "Unmasked";
  const namespaces = namespaceOptions(pod);
  return {
    privileged,
    namespaceOptions: options.targetId
      ? { ...namespaces, pid: NamespaceMode.TARGET, targetId: options.targetId }
      : namespaces,
    capabilities: {
      addCapabilities: own.capabilities?.add ?? [],
      dropCapabilities: own.capabilities?.drop ?? [],
    },
    ...user(runAsUser, options.imageUser),
    ...(runAsGroup !== undefined && { runAsGroup: { value: BigInt(runAsGroup) } }),
    supplementalGroups: groups(pod),
    readonlyRootfs: own.readOnlyRootFilesystem ?? false,
    noNewPrivs: !privileged && own.allowPrivilegeEscalation === false && !own.capabilities?.add?.includes("SYS_ADMIN"),
    seccomp: privileged
      ? { profileType: ProfileType.Unconfined }
      : profile(own.seccompProfile ?? ofPod.seccompProfile, options),
    ...appArmor(own.appArmorProfile ?? ofPod.appArmorProfile),
    ...seLinux(own.seLinuxOptions ?? ofPod.seLinuxOptions),
    maskedPaths: unmasked ? [] : maskedPaths,
    readonlyPaths: unmasked ? [] : readonlyPaths,
  };
}

function user(runAsUser: number | undefined, image: ContainerSecurityOptions["imageUser"]) {
  if (runAsUser !== undefined) return { runAsUser: { value: BigInt(runAsUser) } };
  if (image.uid !== undefined) return { runAsUser: { value: image.uid } };
  return image.username ? { runAsUsername: image.username } : {};
}

function refuseRoot(
  pod: BoundPod,
  container: Container,
  runAsUser: number | undefined,
  image: ContainerSecurityOptions["imageUser"],
): void {
  const where = `(pod: "${podText(pod)}", container: ${container.name})`;
  if (runAsUser !== undefined) {
    if (runAsUser === 0) throw new ContainerConfigError(`container's runAsUser breaks non-root policy ${where}`);
    return;
  }
  if (image.username) {
    const text = `container has runAsNonRoot and image has non-numeric user (${image.username}), cannot verify user is non-root ${where}`;
    throw new ContainerConfigError(text);
  }
  if ((image.uid ?? 0n) === 0n) {
    throw new ContainerConfigError(`container has runAsNonRoot and image will run as root ${where}`);
  }
}

function groups({ spec }: BoundPod): bigint[] {
  const { fsGroup, supplementalGroups = [] } = spec.securityContext ?? {};
  return [...(fsGroup === undefined ? [] : [fsGroup]), ...supplementalGroups].map(BigInt);
}

function profile(
  given: { type: string; localhostProfile?: string } | undefined,
  { seccompDefault, rootDir }: ProfileSettings,
): MessageInitShape<typeof SecurityProfileSchema> {
  switch (given?.type) {
    case "RuntimeDefault":
      return { profileType: ProfileType.RuntimeDefault };
    case "Localhost": {
      const place = path.join(rootDir, "seccomp", given.localhostProfile ?? "");
      return { profileType: ProfileType.Localhost, localhostRef: place };
    }
    case "Unconfined":
      return { profileType: ProfileType.Unconfined };
    default:
      return { profileType: seccompDefault ? ProfileType.RuntimeDefault : ProfileType.Unconfined };
  }
}

/** AppArmor's names are the kernel's own: no folder. Undefined leaves it to the runtime. */
function appArmor(given: { type: string; localhostProfile?: string } | undefined): {
  apparmor?: MessageInitShape<typeof SecurityProfileSchema>;
} {
  if (!given) return {};
  const types: Record<string, ProfileType> = { Unconfined: ProfileType.Unconfined, Localhost: ProfileType.Localhost };
  const profileType = types[given.type] ?? ProfileType.RuntimeDefault;
  return { apparmor: { profileType, localhostRef: given.localhostProfile ?? "" } };
}

function seLinux(given: { user?: string; role?: string; type?: string; level?: string } | undefined) {
  return given ? { selinuxOptions: given } : {};
}
