import { type IDMappings, onNode } from "../native/idmap.ts";
import { capabilityNames } from "./capabilities.ts";
import type { Process } from "./types.ts";

/** The number that hawser-exec greets with when it understands what encodeRequest() makes. */
export const protocol = "7";
/** Larger ones are refused; the kernel takes less for arguments and environment together, bytes. */
const maxRequestBytes = 8 * 1024 * 1024;

/** Source: asm-generic/resource.h */
const limitNumbers: Record<string, number> = {
  RLIMIT_CPU: 0,
  RLIMIT_FSIZE: 1,
  RLIMIT_DATA: 2,
  RLIMIT_STACK: 3,
  RLIMIT_CORE: 4,
  RLIMIT_RSS: 5,
  RLIMIT_NPROC: 6,
  RLIMIT_NOFILE: 7,
  RLIMIT_MEMLOCK: 8,
  RLIMIT_AS: 9,
  RLIMIT_LOCKS: 10,
  RLIMIT_SIGPENDING: 11,
  RLIMIT_MSGQUEUE: 12,
  RLIMIT_NICE: 13,
  RLIMIT_RTPRIO: 14,
  RLIMIT_RTTIME: 15,
};

/** What of a container does not change from one exec to the next. */
export interface Place {
  /** Files of cgroup v1 hierarchies, `tasks`, to join by. */
  cgroups: string[];
  /** The one, not in the list, of the hierarchy that limits the number of processes. */
  pids: string | undefined;
  /** Tells whether the container is paused. */
  freezer: string;
  /** The filter the OCI runtime has compiled for the container. */
  seccomp: string | undefined;
  /** The container has a cgroup namespace. */
  cgroupNamespace: boolean;
  /** The container's user namespace, if it has one: from its ids to the node's. */
  users: IDMappings | undefined;
}

export interface Entry extends Place {
  containerId: string;
  init: { pid: number; startTime: string };
  /** Directory of the exec's own cgroup2 group; hawser-exec makes it. */
  group: string;
  process: Process;
}

/**
 * The request as native/request.c reads it. Throws for what could not be said to execve(2) either: a NUL within an
 * argument, which would also begin a field of its own here.
 */
export function encodeRequest(entry: Entry): Buffer {
  const text = fields(entry)
    .map(([name, value]) => {
      if (value.includes("\0")) throw new Error(`a NUL in the command's ${names[name] ?? name}`);
      return `${name}=${value}\0`;
    })
    .join("");
  const length = Buffer.byteLength(text);
  if (length > maxRequestBytes) throw new Error(`command and environment of ${length} bytes: Argument list too long`);
  const request = Buffer.allocUnsafe(4 + length);
  request.writeUInt32LE(length, 0);
  request.write(text, 4);
  return request;
}

const names: Record<string, string> = { arg: "arguments", env: "environment", cwd: "working directory" };

function fields({ process, ...entry }: Entry): [name: string, value: string][] {
  const { user, capabilities, consoleSize } = process;
  const set = (names: string[] = []) => capabilityMask(names).toString(16);
  return [
    ["id", entry.containerId],
    ["init", String(entry.init.pid)],
    ["start", entry.init.startTime],
    ...entry.cgroups.map((file): [string, string] => ["cgroup", file]),
    ...(entry.pids === undefined ? [] : [["pids", entry.pids] as [string, string]]),
    ["group", entry.group],
    ["freezer", entry.freezer],
    ...(entry.seccomp === undefined ? [] : [["seccomp", entry.seccomp] as [string, string]]),
    ...(entry.cgroupNamespace ? [["cgroupns", "1"] as [string, string]] : []),
    ...(entry.users ? [["userns", "1"] as [string, string]] : []),
    ["pipeuid", String(entry.users ? onNode(entry.users.uids, user.uid) : user.uid)],
    ["pipegid", String(entry.users ? onNode(entry.users.gids, user.gid) : user.gid)],
    ...(process.terminal
      ? [["tty", `${consoleSize?.width ?? 0}x${consoleSize?.height ?? 0}`] as [string, string]]
      : []),
    ["cwd", process.cwd],
    ["uid", String(user.uid)],
    ["gid", String(user.gid)],
    ...(user.additionalGids ?? []).map((gid): [string, string] => ["gids", String(gid)]),
    ["bounding", set(capabilities?.bounding)],
    ["permitted", set(capabilities?.permitted)],
    ["effective", set(capabilities?.effective)],
    ["inheritable", set(capabilities?.inheritable)],
    ["ambient", set(capabilities?.ambient)],
    ...(process.noNewPrivileges ? [["nonewprivileges", "1"] as [string, string]] : []),
    ...(process.apparmorProfile ? [["apparmor", process.apparmorProfile] as [string, string]] : []),
    ...(process.oomScoreAdj === undefined ? [] : [["oom", String(process.oomScoreAdj)] as [string, string]]),
    ...(process.rlimits ?? []).map(({ type, soft, hard }): [string, string] => [
      "rlimit",
      `${limitNumber(type)}:${soft}:${hard}`,
    ]),
    ...process.args.map((arg): [string, string] => ["arg", arg]),
    ...process.env.map((entry): [string, string] => ["env", entry]),
  ];
}

function limitNumber(type: string): number {
  const number = limitNumbers[type];
  if (number === undefined) throw new Error(`invalid rlimit \`${type}\``);
  return number;
}

function capabilityMask(names: string[]): bigint {
  let mask = 0n;
  for (const name of names) {
    const bit = capabilityNames.indexOf(name);
    if (bit < 0) throw new Error(`unknown capability ${name}`);
    mask |= 1n << BigInt(bit);
  }
  return mask;
}
