import { open, opendir, readFile } from "node:fs/promises";
import path from "node:path";
import { readHead } from "@hawser/files";
import type { CgroupMode } from "../oci/probe.ts";
import { descriptorsSeen, descriptorsTold } from "./open-files.ts";
import { controllerPath } from "./paths.ts";

/** Processes of a container whose descriptors are counted, and descriptors that are looked at for sockets. */
const maxProcesses = 200;
const maxDescriptors = 2000;
/** A container's group and those below it, and the bytes of what they say are their processes. */
const maxGroups = 1000;
const maxBytes = 1024 * 1024;
/** Groups that are looked into side by side. */
const groupsAtOnce = 8;

/** Absent where there is more than is counted. */
export interface ProcessCounts {
  processes?: bigint;
  descriptors?: bigint;
  sockets?: bigint;
}

/** The processes of a cgroup and those below it, and what they have open. `mount` as for controllerPath(). */
export async function countProcesses(
  { mode, mount }: { mode: CgroupMode; mount?: string | undefined },
  cgroup: string,
): Promise<ProcessCounts> {
  const pids = await processesIn(controllerPath(mode, cgroup, "pids", mount));
  if (!pids) return {};
  const processes = BigInt(pids.length);
  if (pids.length > maxProcesses) return { processes };
  const told = await descriptorsTold(pids);
  const seen = told !== undefined && told > maxDescriptors ? undefined : await descriptorsSeen(pids, maxDescriptors);
  return { processes, ...(told !== undefined && { descriptors: told }), ...seen };
}

/** Undefined when there are more groups, or processes, than are looked at. */
async function processesIn(root: string): Promise<string[] | undefined> {
  const pids: string[] = [];
  const todo = [root];
  let [groups, bytes] = [1, 0];
  while (todo.length > 0) {
    const some = todo.splice(0, groupsAtOnce);
    const found = await Promise.all(
      some.map(async (directory) => ({ own: await listOf(directory), below: await groupsIn(directory) })),
    );
    for (const { own, below } of found) {
      groups += below.length;
      bytes += own.length;
      if (groups > maxGroups || bytes > maxBytes) return undefined;
      for (const pid of own.toString("latin1").split("\n")) if (pid) pids.push(pid);
      todo.push(...below);
    }
  }
  return pids;
}

/** What a group says are its processes; nothing of one that is gone. One byte more than is counted tells of more. */
async function listOf(directory: string): Promise<Buffer> {
  try {
    await using file = await open(path.join(directory, "cgroup.procs"));
    return await readHead(file, maxBytes + 1);
  } catch {
    return Buffer.alloc(0);
  }
}

/** The groups in a group, no more than are looked at. */
async function groupsIn(directory: string): Promise<string[]> {
  const groups: string[] = [];
  try {
    for await (const entry of await opendir(directory)) {
      if (entry.isDirectory()) groups.push(path.join(directory, entry.name));
      if (groups.length === maxGroups) break; // with the one they are in, one more
    }
  } catch {
    // It is gone.
  }
  return groups;
}

/** The soft limit of open files of a process; undefined when it is gone, or has none. Source: proc(5), /proc/PID/limits */
export async function softFilesLimit(pid: number): Promise<bigint | undefined> {
  const text = await readFile(`/proc/${pid}/limits`, "utf8").catch(() => "");
  const soft = /^Max open files\s+(\d+)\s/m.exec(text)?.[1];
  return soft === undefined ? undefined : BigInt(soft);
}
