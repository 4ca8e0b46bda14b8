import { access, glob, readFile, stat } from "node:fs/promises";
import { hostname } from "node:os";
import { Code, CRIError, type SELinuxOption } from "@hawser/cri";
import { hasMountSetattr } from "../native/mount-tree.ts";
import { capabilityNames } from "./capabilities.ts";

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
  /** Does the kernel count and limit swap by cgroup? */
  swapAccounting: boolean;
  /** Is there a controller that limits huge pages? */
  hugetlb: boolean;
  /** Can the kernel make a mount and all below it read-only? */
  recursiveReadOnly: boolean;
}

/** Reads what the kernel says of this process. */
export async function readHost(cgroup: "v1" | "v2"): Promise<Host> {
  const [status, oom, limits, appArmor, selinux, swapAccounting, hugetlb] = await Promise.all([
    readFile("/proc/self/status", "utf8"),
    readFile("/proc/self/oom_score_adj", "utf8"),
    readFile("/proc/self/limits", "utf8"),
    hasAppArmor(),
    readFile("/sys/fs/selinux/enforce", "utf8").catch(() => undefined),
    hasSwapAccounting(cgroup),
    hasHugetlb(cgroup),
  ]);
  const bounding = BigInt(`0x${/^CapBnd:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? "0"}`);
  return {
    capabilities: new Set(capabilityNames.filter((_, bit) => (bounding >> BigInt(bit)) & 1n)),
    oomScoreAdj: Number.parseInt(oom, 10),
    rlimits: new Map(limits.split("\n").flatMap(hardLimit)),
    hostname: hostname(),
    cgroup,
    appArmor,
    selinux: selinux !== undefined,
    swapAccounting,
    hugetlb,
    recursiveReadOnly: hasMountSetattr(),
  };
}

async function hasAppArmor(): Promise<boolean> {
  const enabled = await readFile("/sys/module/apparmor/parameters/enabled", "utf8").catch(() => "N");
  return enabled.startsWith("Y") && (await stat("/sys/kernel/security/apparmor").catch(() => undefined)) !== undefined;
}

async function hasSwapAccounting(cgroup: "v1" | "v2"): Promise<boolean> {
  const places =
    cgroup === "v1" ? "/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes" : "/sys/fs/cgroup/*/memory.swap.max"; // the root has none
  for await (const _ of glob(places)) return true;
  return false;
}

async function hasHugetlb(cgroup: "v1" | "v2"): Promise<boolean> {
  if (cgroup === "v1") {
    return await access("/sys/fs/cgroup/hugetlb").then(
      () => true,
      () => false,
    );
  }
  const controllers = await readFile("/sys/fs/cgroup/cgroup.controllers", "utf8").catch(() => "");
  return controllers.trim().split(" ").includes("hugetlb");
}

/** /proc/self/limits' own words for the limits. */
const limitNames: Record<string, string> = {
  "Max cpu time": "RLIMIT_CPU",
  "Max file size": "RLIMIT_FSIZE",
  "Max data size": "RLIMIT_DATA",
  "Max stack size": "RLIMIT_STACK",
  "Max core file size": "RLIMIT_CORE",
  "Max resident set": "RLIMIT_RSS",
  "Max processes": "RLIMIT_NPROC",
  "Max open files": "RLIMIT_NOFILE",
  "Max locked memory": "RLIMIT_MEMLOCK",
  "Max address space": "RLIMIT_AS",
  "Max file locks": "RLIMIT_LOCKS",
  "Max pending signals": "RLIMIT_SIGPENDING",
  "Max msgqueue size": "RLIMIT_MSGQUEUE",
  "Max nice priority": "RLIMIT_NICE",
  "Max realtime priority": "RLIMIT_RTPRIO",
  "Max realtime timeout": "RLIMIT_RTTIME",
};

function hardLimit(line: string): [string, number][] {
  const [, name = "", hard = ""] = /^(.{1,25}?)\s{2,}\S+\s+(\S+)/.exec(line) ?? [];
  const limit = limitNames[name];
  return limit && hard !== "unlimited" ? [[limit, Number(hard)]] : [];
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
