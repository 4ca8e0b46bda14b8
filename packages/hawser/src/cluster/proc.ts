import { readdir, readFile, readlink } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";

/**
 * One process, told apart from a later one with the same pid: `startTime` is field 22 of /proc/PID/stat, in clock
 * ticks since boot, and `bootId` is the kernel's own name for this boot.
 */
export interface ProcessIdentity {
  pid: number;
  startTime: number;
  bootId: string;
}

/** Undefined when there is no such process, or only its zombie. */
export async function identify(pid: number): Promise<ProcessIdentity | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, "latin1").catch(() => undefined);
  if (stat === undefined) return undefined;
  // The name, in parentheses, may hold anything; the fields after it are plain. state is the 3rd field, starttime the 22nd.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  if (fields[0] === "Z" || fields[0] === "X") return undefined;
  return { pid, startTime: Number(fields[19]), bootId: await bootId() };
}

export async function isAlive(process: ProcessIdentity): Promise<boolean> {
  const now = await identify(process.pid);
  return now !== undefined && now.startTime === process.startTime && now.bootId === process.bootId;
}

/** Milliseconds since the epoch at which the process began. */
export async function startedAt(process: ProcessIdentity): Promise<number> {
  const boot = /^btime (\d+)$/m.exec(await readFile("/proc/stat", "latin1"))?.[1];
  return Number(boot) * 1000 + process.startTime * 10; // USER_HZ is 100 on every Linux Node runs on
}

/**
 * Asks the processes to end and resolves when all have: SIGTERM first, SIGKILL after `graceMs`. A process that is not
 * the one identified any more is left alone.
 */
export async function terminate(processes: ProcessIdentity[], graceMs: number): Promise<void> {
  await Promise.all(processes.map((process) => terminateOne(process, graceMs)));
}

async function terminateOne(process: ProcessIdentity, graceMs: number): Promise<void> {
  if (!(await isAlive(process))) return;
  send(process.pid, "SIGTERM");
  if (await gone(process, graceMs)) return;
  send(process.pid, "SIGKILL");
  if (!(await gone(process, 5_000))) {
    throw new Error(`process ${process.pid} does not end, not even by SIGKILL (is it stuck in the kernel?)`);
  }
}

/** Whether the process ended within `timeoutMs`. It is not our child, so nothing tells us: look, every 5 ms. */
async function gone(process: ProcessIdentity, timeoutMs: number): Promise<boolean> {
  for (const deadline = Date.now() + timeoutMs; Date.now() < deadline; ) {
    if (!(await isAlive(process))) return true;
    await delay(5);
  }
  return !(await isAlive(process));
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code !== "ESRCH") throw err;
  }
}

/** Every process whose environment holds `NAME=value`: how a cluster's daemons are found when their pid files are lost. */
export async function processesWith(name: string, value: string): Promise<ProcessIdentity[]> {
  const wanted = Buffer.from(`${name}=${value}\0`);
  const found: ProcessIdentity[] = [];
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const environment = await readFile(`/proc/${entry}/environ`).catch(() => undefined);
    const at = environment?.indexOf(wanted) ?? -1;
    if (at < 0 || (at > 0 && environment?.[at - 1] !== 0)) continue;
    const process = await identify(Number(entry));
    if (process) found.push(process);
  }
  return found;
}

/** Who listens on a TCP port in this network namespace; undefined when nobody does (or it cannot be seen). */
export async function listenerOn(port: number): Promise<{ pid: number; name: string } | undefined> {
  const inodes = new Set<string>();
  for (const table of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    for (const line of (await readFile(table, "latin1").catch(() => "")).split("\n").slice(1)) {
      const [, local = "", , state, , , , , , inode = ""] = line.trim().split(/\s+/);
      if (state === "0A" && Number.parseInt(local.split(":")[1] ?? "", 16) === port) inodes.add(`socket:[${inode}]`);
    }
  }
  if (inodes.size === 0) return undefined;
  for (const pid of (await readdir("/proc")).filter((entry) => /^\d+$/.test(entry))) {
    for (const fd of await readdir(`/proc/${pid}/fd`).catch(() => [])) {
      const target = await readlink(`/proc/${pid}/fd/${fd}`).catch(() => "");
      if (!inodes.has(target)) continue;
      return { pid: Number(pid), name: (await readFile(`/proc/${pid}/comm`, "utf8").catch(() => "?")).trim() };
    }
  }
  return undefined;
}

let boot: Promise<string> | undefined;
function bootId(): Promise<string> {
  boot ??= readFile("/proc/sys/kernel/random/boot_id", "latin1").then((text) => text.trim());
  return boot;
}
