import { access, constants, stat } from "node:fs/promises";
import path from "node:path";
import type { CgroupDriver } from "../cgroup/parent.ts";
import { fsType, typeOf } from "../native/mount.ts";
import type { Reaper } from "../native/reaper.ts";
import { outputOf, runWithin } from "../native/spawn.ts";
import type { OCIRuntime, OCIRuntimeName } from "./runtime.ts";
import { openHybridView, plainView, unifiedMount, type View } from "./view.ts";

/** The first executable of this name in PATH or among `extra` directories. */
export async function findProgram(name: string, extra: string[] = []): Promise<string | undefined> {
  if (path.isAbsolute(name)) return (await executable(name)) ? name : undefined;
  const directories = [...(process.env.PATH ?? "").split(":"), "/usr/sbin", "/usr/bin", "/sbin", "/bin", ...extra];
  for (const directory of directories) {
    const candidate = path.join(directory, name);
    if (directory && (await executable(candidate))) return candidate;
  }
  return undefined;
}

/** findProgram, or an Error that says what to install. */
export async function needProgram(name: string, debianPackage: string, extra: string[] = []): Promise<string> {
  const found = await findProgram(name, extra);
  if (!found) throw new Error(`${name} not found; on Debian: apt-get install ${debianPackage}`);
  return found;
}

async function executable(file: string): Promise<boolean> {
  try {
    await access(file, constants.X_OK);
    return (await stat(file)).isFile();
  } catch {
    return false;
  }
}

export type CgroupMode = "v1" | "hybrid" | "v2";

/** How this host has its cgroups. Source: systemd.io/CGROUP_DELEGATION */
export async function cgroupMode(): Promise<CgroupMode> {
  if ((await typeOf("/sys/fs/cgroup")) === fsType.cgroup2) return "v2";
  return (await typeOf(unifiedMount)) === fsType.cgroup2 ? "hybrid" : "v1";
}

/**
 * Chooses the OCI runtime: the one asked for, else crun, else runc; and how it has to see the host.
 * Throws when it is not installed or does not answer.
 */
export async function chooseRuntime(options: {
  reaper: Reaper;
  wanted: OCIRuntimeName | undefined;
  root: string;
  mode: CgroupMode;
  cgroupDriver: CgroupDriver;
  timeoutMs: number;
  /** Directories whose mounts come and go. */
  hidden: string[];
}): Promise<OCIRuntime> {
  const { reaper, wanted, root, mode, cgroupDriver, timeoutMs, hidden } = options;
  const candidates: OCIRuntimeName[] = wanted ? [wanted] : ["crun", "runc"];
  const found = (name: OCIRuntimeName) => installed({ reaper, timeoutMs, root: path.join(root, name), name });
  for (const name of candidates) {
    const runtime = await found(name);
    if (!runtime) continue;
    const why = wanted ? "asked for" : name === "crun" ? "the default" : "crun is not installed";
    const { view, note } = await viewFor(name, mode, hidden);
    const common = { cgroupDriver, view, timeoutMs };
    const other = await found(name === "crun" ? "runc" : "crun").catch(() => undefined); // nobody has asked for it yet
    const others = other ? [{ ...other, ...common, reason: "for its handler", others: [] }] : [];
    return { ...runtime, ...common, reason: `${why}; ${note}`, others };
  }
  throw new Error(`no OCI runtime: on Debian: apt-get install ${candidates.join(" or ")}`);
}

type Call = { reaper: Reaper; timeoutMs: number };

async function installed({ root, name, ...call }: Call & { root: string; name: OCIRuntimeName }) {
  const program = await findProgram(name);
  return program ? { name, path: program, version: await versionOf(call, program), root } : undefined;
}

async function versionOf({ reaper, timeoutMs }: Call, program: string): Promise<string> {
  const asking = { path: program, args: ["--version"] };
  const text = outputOf(asking, await runWithin({ reaper }, timeoutMs, asking));
  return /version (\S+)/.exec(text)?.[1] ?? "unknown";
}

/**
 * crun refuses a hybrid host. runc does not, but moves what it executes out of the group in the v2 half that we
 * have put it into. So both get to see the v1 half only.
 */
async function viewFor(
  name: OCIRuntimeName,
  mode: CgroupMode,
  hidden: string[],
): Promise<{ view: View; note: string }> {
  if (mode !== "hybrid") return { view: plainView, note: `cgroup ${mode} as it is` };
  const nsenterPath = await needProgram("nsenter", "util-linux");
  const view = await openHybridView({ nsenterPath, hidden });
  const why = name === "crun" ? "which crun refuses" : "of which it needs the v1 half only";
  return { view, note: `cgroup hybrid, ${why}: it runs in a mount namespace without ${unifiedMount}` };
}
