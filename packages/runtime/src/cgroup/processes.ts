import { readdir, readFile, readlink } from "node:fs/promises";
import path from "node:path";
import type { CgroupMode } from "../oci/probe.ts";
import { controllerPath } from "./paths.ts";

/** Processes of a container whose descriptors are counted, and descriptors that are looked at for sockets. */
const maxProcesses = 200;
const maxDescriptors = 2000;
/** Groups below a container's that are looked into. */
const maxGroups = 1000;

export interface ProcessCounts {
  processes: bigint;
  /** Absent where there is more than is counted. */
  descriptors?: bigint;
  sockets?: bigint;
}

/** The processes of a cgroup and those below it, and what they have open. `mount` as for controllerPath(). */
export async function countProcesses(
  { mode, mount }: { mode: CgroupMode; mount?: string | undefined },
  cgroup: string,
): Promise<ProcessCounts> {
  const pids = await processesIn(controllerPath(mode, cgroup, "pids", mount));
  const counts: ProcessCounts = { processes: BigInt(pids.length) };
  if (pids.length > maxProcesses) return counts;
  let [descriptors, sockets] = [0n, 0n];
  for (const pid of pids) {
    const directory = `/proc/${pid}/fd`;
    const open = await readdir(directory).catch(() => []); // it may have ended
    descriptors += BigInt(open.length);
    if (descriptors > maxDescriptors) continue;
    const targets = await Promise.all(open.map((fd) => readlink(path.join(directory, fd)).catch(() => "")));
    sockets += BigInt(targets.filter((target) => target.startsWith("socket:")).length);
  }
  return { ...counts, descriptors, ...(descriptors <= maxDescriptors && { sockets }) };
}

async function processesIn(root: string): Promise<string[]> {
  const pids: string[] = [];
  const todo = [root];
  for (let looked = 0; looked < maxGroups; looked++) {
    const directory = todo.pop();
    if (directory === undefined) break;
    const [own, entries] = await Promise.all([
      readFile(path.join(directory, "cgroup.procs"), "utf8").catch(() => ""),
      readdir(directory, { withFileTypes: true }).catch(() => []),
    ]);
    pids.push(...own.split("\n").filter(Boolean));
    for (const entry of entries) if (entry.isDirectory()) todo.push(path.join(directory, entry.name));
  }
  return pids;
}

/** The soft limit of open files of a process; undefined when it is gone, or has none. Source: proc(5), /proc/PID/limits */
export async function softFilesLimit(pid: number): Promise<bigint | undefined> {
  const text = await readFile(`/proc/${pid}/limits`, "utf8").catch(() => "");
  const soft = /^Max open files\s+(\d+)\s/m.exec(text)?.[1];
  return soft === undefined ? undefined : BigInt(soft);
}
