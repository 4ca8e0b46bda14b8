import { randomBytes } from "node:crypto";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { signalFound } from "../native/kill.ts";
import type { ContainerRecord } from "../store/records.ts";
import { ignoreExpected, killAll, pidsIn, removeIfEmpty, removeTree } from "./tree.ts";

/** Pause between looks at a group that is being killed, milliseconds. */
const lookInterval = 5;
/** How long killed processes may take to go, milliseconds: one in uninterruptible sleep is not waited for. */
const killPatience = 2000;
/** A group's child of this name says: the exec is over, and what runs in its group was left running. */
const keptMark = "kept";

/** The cgroup of one exec: everything its command has started, and nothing else. */
export interface ExecGroup {
  directory: string;
  /** Makes the directory, where hawser-exec does not. */
  make(): Promise<void>;
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
  /** Nobody is left in it, and somebody else removes it. */
  wasRemoved(): void;
  /** Removes the group if it is there and empty; what the command left running keeps it, until a later exec's end. */
  remove(): Promise<void>;
}

export type GroupedContainer = Pick<ContainerRecord, "id" | "cgroupPath">;

export interface ExecGroups {
  /** Names a group for one exec; nothing is made yet. */
  open(containerId: string, cgroupPath: string): ExecGroup;
  /** Kills what the execs of an earlier runtime, killed since, were running: nobody is there for it any more. */
  endAbandoned(container: GroupedContainer): Promise<void>;
  /** Removes a container's groups, once its processes are gone. */
  forget(containerId: string): Promise<void>;
}

/**
 * Exec groups in the cgroup2 hierarchy of a v1 or hybrid host, where the OCI runtime never looks: a process it starts
 * inherits the group that the OCI runtime's own process is in, while it moves it to the container's v1 cgroups.
 */
export function inheritedExecGroups(base: string): ExecGroups {
  const prefix = "exec-";
  const nameNext = namesWith(prefix);
  const kept = new KeptGroups();
  return {
    open(containerId) {
      const directory = path.join(base, containerId, nameNext());
      return {
        directory,
        make: async () => void (await mkdir(directory, { recursive: true })),
        ...members(directory),
        args: [],
        // The write may wait 10 ms for other CPUs when no cgroup has changed for a while.
        join: (pid) => writeFile(path.join(directory, "cgroup.procs"), String(pid)),
        ...removal(kept, containerId, directory),
      };
    },
    endAbandoned: ({ id }) => endAbandoned(path.join(base, id), prefix),
    async forget(containerId) {
      kept.forget(containerId);
      await removeTree(path.join(base, containerId));
    },
  };
}

/** Exec groups of a pure cgroup v2 host, below the container's own cgroup, by the OCI runtime's --cgroup. */
export function nestedExecGroups(mount: string): ExecGroups {
  const prefix = "hawser-exec-";
  const nameNext = namesWith(prefix);
  const kept = new KeptGroups();
  return {
    open(containerId, cgroupPath) {
      const name = nameNext();
      const directory = path.join(mount, cgroupPath, name);
      return {
        directory,
        make: () => mkdir(directory),
        ...members(directory),
        args: ["--cgroup", name],
        join: async () => {},
        ...removal(kept, containerId, directory),
      };
    },
    endAbandoned: ({ cgroupPath }) => endAbandoned(path.join(mount, cgroupPath), prefix),
    async forget(containerId) {
      kept.forget(containerId); // they go with the container's cgroup
    },
  };
}

/** Names that no other run of the runtime gives: a group outlives the runtime when its processes do. */
function namesWith(prefix: string): () => string {
  const run = randomBytes(4).toString("hex");
  let serial = 0;
  return () => `${prefix}${run}-${++serial}`;
}

/** Groups whose execs are over. Those that were not empty then are looked at again when the container's next exec ends. */
class KeptGroups {
  readonly #directories = new Map<string, Set<string>>();

  /** Removes those that are empty by now. */
  async look(containerId: string): Promise<void> {
    const waiting = this.#directories.get(containerId);
    for (const older of waiting ?? []) {
      if ((await pidsIn(older)).length > 0) continue;
      await removeIfEmpty(path.join(older, keptMark));
      if (await removeIfEmpty(older)) waiting?.delete(older);
    }
  }

  async remove(containerId: string, directory: string): Promise<void> {
    await this.look(containerId);
    if (await removeIfEmpty(directory)) return;
    await mkdir(path.join(directory, keptMark)).catch(ignoreExpected);
    const all = this.#directories.get(containerId) ?? new Set();
    this.#directories.set(containerId, all.add(directory));
  }

  forget(containerId: string): void {
    this.#directories.delete(containerId);
  }
}

function removal(kept: KeptGroups, containerId: string, directory: string): Pick<ExecGroup, "wasRemoved" | "remove"> {
  let removed = false;
  return {
    wasRemoved() {
      removed = true;
    },
    remove: () => (removed ? kept.look(containerId) : kept.remove(containerId, directory)),
  };
}

async function endAbandoned(parent: string, prefix: string): Promise<void> {
  const names = await readdir(parent).catch(() => []);
  const groups = names.filter((name) => name.startsWith(prefix)).map((name) => path.join(parent, name));
  await Promise.all(
    groups.map(async (group) => {
      const inside = await readdir(group).catch(() => undefined); // the exec's waiter may have removed it meanwhile
      if (!inside || inside.includes(keptMark)) return;
      const { kill, count } = members(group);
      const deadline = performance.now() + killPatience;
      // Who was on the way when that runtime was killed may come in between; when the group is gone, nobody can any more.
      do await kill(0);
      while (!(await removeIfEmpty(group)) && (await count(0)) > 0 && performance.now() < deadline);
    }),
  );
}

function members(directory: string): Pick<ExecGroup, "count" | "signal" | "kill"> {
  const others = async (except: number) => (await pidsIn(directory)).filter((pid) => pid !== except);
  const signal = (name: NodeJS.Signals, except: number) => signalFound(() => others(except), name);
  return {
    count: async (except) => (await others(except)).length,
    signal,
    async kill(except) {
      if (except === 0) await killAll(directory);
      const deadline = performance.now() + killPatience;
      while ((await signal("SIGKILL", except)) > 0 && performance.now() < deadline) {
        await new Promise((resolve) => setTimeout(resolve, lookInterval));
      }
    },
  };
}
