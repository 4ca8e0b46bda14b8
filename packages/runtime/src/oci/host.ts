import { access, glob, readFile, stat } from "node:fs/promises";
import { hostname } from "node:os";
import path from "node:path";
import { Code, CRIError, type SELinuxOption } from "@hawser/cri";
import { hasMountSetattr } from "../native/mount-tree.ts";
import { capabilityNames } from "./capabilities.ts";
import { hardLimits } from "./rlimits.ts";

const cgroupMount = "/sys/fs/cgroup";

/** What this process itself may do; nobody can be granted more. */
export interface Host {
  /** Capabilities of our own bounding set. */
  capabilities: ReadonlySet<string>;
  /** Our own oom_score_adj: the lowest we can give without CAP_SYS_RESOURCE. */
  oomScoreAdj: number;
  /** Our own hard limits, by RLIMIT_ name; absent for unlimited. */
  rlimits: ReadonlyMap<string, number>;
  hostname: string;
  cgroup: "v1" | "v2";
  /** The kernel has it, and securityfs is mounted, where the OCI runtimes look for it. */
  appArmor: boolean;
  selinux: boolean;
  /** Does the kernel count and limit swap by cgroup? On cgroup v2 nobody knows before there is one with the memory controller. */
  swapAccounting: () => Promise<boolean>;
  /** Is there a controller that limits huge pages? */
  hugetlb: boolean;
  /** Can the kernel make a mount and all below it read-only? */
  recursiveReadOnly: boolean;
}

/** Reads what the kernel says of this process. */
export async function readHost(cgroup: "v1" | "v2"): Promise<Host> {
  const [status, oom, limits, appArmor, selinux, hugetlb] = await Promise.all([
    readFile("/proc/self/status", "utf8"),
    readFile("/proc/self/oom_score_adj", "utf8"),
    readFile("/proc/self/limits", "utf8"),
    hasAppArmor(),
    readFile("/sys/fs/selinux/enforce", "utf8").catch(() => undefined),
    hasHugetlb(cgroup),
  ]);
  const bounding = BigInt(`0x${/^CapBnd:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? "0"}`);
  return {
    capabilities: new Set(capabilityNames.filter((_, bit) => (bounding >> BigInt(bit)) & 1n)),
    oomScoreAdj: Number.parseInt(oom, 10),
    rlimits: hardLimits(limits),
    hostname: hostname(),
    cgroup,
    appArmor,
    selinux: selinux !== undefined,
    swapAccounting: swapAccountingOf(cgroup),
    hugetlb,
    recursiveReadOnly: hasMountSetattr(),
  };
}

async function hasAppArmor(): Promise<boolean> {
  const enabled = await readFile("/sys/module/apparmor/parameters/enabled", "utf8").catch(() => "N");
  return enabled.startsWith("Y") && (await stat("/sys/kernel/security/apparmor").catch(() => undefined)) !== undefined;
}

/**
 * Asks, at each call until it has been so once, whether there is a cgroup whose swap can be limited. The root of cgroup v2 has no
 * such file, and on a fresh host no cgroup below it has the memory controller: that of the first pod does.
 */
export function swapAccountingOf(cgroup: "v1" | "v2", mount = cgroupMount): () => Promise<boolean> {
  const files = cgroup === "v1" ? "memory/memory.memsw.limit_in_bytes" : "{,*/}memory.swap.max"; // in a namespace the root is none
  let known = false;
  return async () => {
    if (known) return true;
    for await (const _ of glob(path.join(mount, files))) known = true;
    return known;
  };
}

/** Is there a controller that limits huge pages? */
export async function hasHugetlb(cgroup: "v1" | "v2", mount = cgroupMount): Promise<boolean> {
  if (cgroup === "v1") {
    return await access(path.join(mount, "hugetlb")).then(
      () => true,
      () => false,
    );
  }
  const controllers = await readFile(path.join(mount, "cgroup.controllers"), "utf8").catch(() => "");
  return controllers.trim().split(" ").includes("hugetlb");
}

/** The nearest oom_score_adj we are able to give. */
export function clampOOMScore(host: Pick<Host, "oomScoreAdj" | "capabilities">, wanted: number): number {
  const score = Math.min(1000, Math.max(-1000, wanted));
  return host.capabilities.has("CAP_SYS_RESOURCE") ? score : Math.max(host.oomScoreAdj, score);
}

/**
 * A label without SELinux in the kernel says nothing, and is taken. With it we would have to set it, which we do not.
 * Throws Unimplemented.
 */
export function refuseSELinux(
  host: Pick<Host, "selinux">,
  security: { selinuxOptions?: SELinuxOption | undefined; privileged: boolean } | undefined,
): void {
  const { user, role, type, level } = security?.selinuxOptions ?? {};
  if (host.selinux && !security?.privileged && (user || role || type || level)) {
    throw new CRIError(Code.Unimplemented, "SELinux is not implemented");
  }
}
