import { type IDMappings, onNode } from "../native/idmap.ts";
import { capabilityNames } from "./capabilities.ts";
import { rlimitNumber } from "./rlimits.ts";
import type { Process } from "./types.ts";

/** The number that hawser-exec greets with when it understands what encodeRequest() makes. */
export const protocol = "10";
/** Larger ones are refused; the kernel takes less for arguments and environment together, bytes. */
const maxRequestBytes = 8 * 1024 * 1024;

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
  const text = fields(entry);
  const length = Buffer.byteLength(text);
  if (length > maxRequestBytes) throw new Error(`command and environment of ${length} bytes: Argument list too long`);
  const request = Buffer.allocUnsafe(4 + length);
  request.writeUInt32LE(length, 0);
  request.write(text, 4);
  return request;
}

const names: Record<string, string> = { arg: "arguments", env: "environment", cwd: "working directory" };

/** Made for each exec, thirty-two at once: strings that are joined as they come leave the least to be collected. */
function fields({ process, ...entry }: Entry): string {
  const { user, capabilities, consoleSize } = process;
  const { users } = entry;
  const ids = users
    ? { uid: onNode(users.uids, user.uid), gid: onNode(users.gids, user.gid) }
    : { uid: user.uid, gid: user.gid };
  let text = field("id", entry.containerId) + field("init", entry.init.pid) + field("start", entry.init.startTime);
  for (const file of entry.cgroups) text += field("cgroup", file);
  if (entry.pids !== undefined) text += field("pids", entry.pids);
  text += field("group", entry.group) + field("freezer", entry.freezer);
  if (entry.seccomp !== undefined) text += field("seccomp", entry.seccomp);
  if (entry.cgroupNamespace) text += field("cgroupns", 1);
  if (users) text += field("userns", 1);
  text += field("pipeuid", ids.uid) + field("pipegid", ids.gid);
  if (process.terminal) text += field("tty", `${consoleSize?.width ?? 0}x${consoleSize?.height ?? 0}`);
  text += field("cwd", process.cwd) + field("uid", user.uid) + field("gid", user.gid);
  for (const gid of user.additionalGids ?? []) text += field("gids", gid);
  for (const set of capabilitySets) text += field(set, maskOf(capabilities?.[set]));
  if (process.noNewPrivileges) text += field("nonewprivileges", 1);
  if (process.apparmorProfile) text += field("apparmor", process.apparmorProfile);
  if (process.oomScoreAdj !== undefined) text += field("oom", process.oomScoreAdj);
  for (const { type, soft, hard } of process.rlimits ?? []) {
    text += field("rlimit", `${rlimitNumber(type)}:${soft}:${hard}`);
  }
  for (const arg of process.args) text += field("arg", arg);
  for (const variable of process.env) text += field("env", variable);
  return text;
}

function field(name: string, value: string | number): string {
  if (typeof value === "string" && value.includes("\0"))
    throw new Error(`a NUL in the command's ${names[name] ?? name}`);
  return `${name}=${value}\0`;
}

const capabilitySets = ["bounding", "permitted", "effective", "inheritable", "ambient"] as const;
/** A container's sets are the same lists for all its execs. */
const masks = new WeakMap<readonly string[], string>();

/** In hexadecimal. */
function maskOf(names: readonly string[] = []): string {
  const known = masks.get(names);
  if (known !== undefined) return known;
  let mask = 0n;
  for (const name of names) {
    const bit = capabilityNames.indexOf(name);
    if (bit < 0) throw new Error(`unknown capability ${name}`);
    mask |= 1n << BigInt(bit);
  }
  const text = mask.toString(16);
  masks.set(names, text);
  return text;
}
