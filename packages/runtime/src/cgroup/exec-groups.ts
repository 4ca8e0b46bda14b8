import { mkdir, readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { killQuietly } from "../native/spawn.ts";

/** Pause between looks at a group that is being killed, milliseconds. */
const lookInterval = 5;
/** How long killed processes may take to go, milliseconds: one in uninterruptible sleep is not waited for. */
const killPatience = 2000;

/** The cgroup of one exec: everything its command has started, and nothing else. */
export interface ExecGroup {
  /** For the OCI runtime's exec. */
  args: string[];
  /** Puts the OCI runtime's own process in, before it makes the command's. */
  join(pid: number): Promise<void>;
  /** How many processes there are besides `except`. */
  count(except: number): Promise<number>;
  /** Signals every process but `except`. Returns how many there were. */
  signal(signal: NodeJS.Signals, except: number): Promise<number>;
  /** SIGKILL until only `except` is left. */
  kill(except: number): Promise<void>;
  /** Removes the group if it is empty; what the command left running keeps it. */
  remove(): Promise<void>;
}

export interface ExecGroups {
  open(containerId: string, cgroupPath: string): Promise<ExecGroup>;
  /** Removes a container's groups, once its processes are gone. */
  forget(containerId: string): Promise<void>;
}

/**
 * Exec groups in the cgroup2 hierarchy of a v1 or hybrid host, where the OCI runtime never looks: a process it starts
 * inherits the group that the OCI runtime's own process is in, while it moves it to the container's v1 cgroups.
 */
export function inheritedExecGroups(base: string): ExecGroups {
  let serial = 0;
  return {
    async open(containerId) {
      const parent = path.join(base, containerId);
      const directory = path.join(parent, `exec-${++serial}`);
      await mkdir(directory, { recursive: true });
      return {
        ...members(directory),
        args: [],
        // The write may wait 10 ms for other CPUs when no cgroup has changed for a while.
        join: (pid) => writeFile(path.join(directory, "cgroup.procs"), String(pid)),
        remove: () => removeIfEmpty(directory),
      };
    },
    async forget(containerId) {
      await removeTree(path.join(base, containerId));
    },
  };
}

/** Exec groups of a pure cgroup v2 host, below the container's own cgroup, by the OCI runtime's --cgroup. */
export function nestedExecGroups(mount: string): ExecGroups {
  let serial = 0;
  return {
    async open(_containerId, cgroupPath) {
      const name = `hawser-exec-${++serial}`;
      const directory = path.join(mount, cgroupPath, name);
      await mkdir(directory);
      return {
        ...members(directory),
        args: ["--cgroup", name],
        join: async () => {},
        remove: () => removeIfEmpty(directory),
      };
    },
    async forget() {}, // they go with the container's cgroup
  };
}

function members(directory: string): Pick<ExecGroup, "count" | "signal" | "kill"> {
  const others = async (except: number) => (await pidsIn(directory)).filter((pid) => pid !== except);
  const signal = async (name: NodeJS.Signals, except: number) => {
    const pids = await others(except);
    for (const pid of pids) killQuietly(pid, name);
    return pids.length;
  };
  return {
    count: async (except) => (await others(except)).length,
    signal,
    async kill(except) {
      const deadline = performance.now() + killPatience;
      while ((await signal("SIGKILL", except)) > 0 && performance.now() < deadline) {
        await new Promise((resolve) => setTimeout(resolve, lookInterval));
      }
    },
  };
}

/** The processes of one cgroup, zombies not counted; empty when it is gone. */
export async function pidsIn(directory: string): Promise<number[]> {
  const text = await readFile(path.join(directory, "cgroup.procs"), "utf8").catch(ignoreMissing);
  const pids = (text ?? "").split("\n").filter(Boolean).map(Number);
  const alive = await Promise.all(pids.map(isRunning));
  return pids.filter((_, index) => alive[index]);
}

async function isRunning(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  return stat !== undefined && !/\) [ZX]/.test(stat);
}

async function removeIfEmpty(directory: string): Promise<void> {
  await rmdir(directory).catch(ignoreMissing);
}

async function removeTree(directory: string): Promise<void> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) if (entry.isDirectory()) await removeTree(path.join(directory, entry.name));
  await removeIfEmpty(directory);
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (!["ENOENT", "EBUSY", "ENODEV"].includes(error.code ?? "")) throw error;
}
