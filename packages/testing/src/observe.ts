// What the post looked at by hand: `netstat`, `ss`, `ps`. Here each is one function over the real program.
import { readdir, readFile, readlink } from "node:fs/promises";
import { must } from "./command.ts";

/** Puts a command line on a host; `(c) => c` is this machine itself. */
export type On = (command: string[]) => string[];

export interface TCPSocket {
  /** `ESTAB`, `LISTEN`, ... */
  state: string;
  local: string;
  peer: string;
  /** Whose it is: `users:(("kubectl",pid=8507,fd=7))`. */
  owner: string;
}

/** The post's `netstat -atn`: every TCP socket of a host. */
export async function tcpSockets(on: On): Promise<TCPSocket[]> {
  return rows(await must(on(["ss", "-Htanp"]))).map(([state = "", , , local = "", peer = "", owner = ""]) => {
    return { state, local: plain(local), peer: plain(peer), owner };
  });
}

/** The established connections to a port of an address, as the connecting side sees them. */
export async function connectionsTo(on: On, peer: string): Promise<TCPSocket[]> {
  return (await tcpSockets(on)).filter((socket) => socket.state === "ESTAB" && socket.peer === peer);
}

export interface UnixSocket {
  path: string;
  inode: string;
  peerInode: string;
  owner: string;
}

/** The post's `ss -a -p`: every connected unix socket of a host. */
export async function unixSockets(on: On): Promise<UnixSocket[]> {
  const text = await must(on(["ss", "-Hxp", "state", "established"]));
  return rows(text).map((fields) => {
    // u_str 0 0 PATH INODE * PEER users:(...)
    const [, , , path = "", inode = "", , peerInode = "", owner = ""] = fields;
    return { path, inode, peerInode, owner };
  });
}

export interface ProcessRow {
  pid: number;
  ppid: number;
  /** Session. */
  sid: number;
  /** Process group. */
  pgid: number;
  /** Process group in the foreground of its terminal; -1 without a terminal. */
  tpgid: number;
  /** Device number of its controlling terminal; 0 for none. */
  tty: number;
  args: string;
}

/** What the post's `ps -afx` shows. Processes of containers are seen from outside. */
export async function processes(): Promise<ProcessRow[]> {
  const found = await Promise.all((await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(processRow));
  return found.filter((row) => row !== undefined);
}

async function processRow(pid: string): Promise<ProcessRow | undefined> {
  const [stat, command] = await Promise.all(
    ["stat", "cmdline"].map((file) => readFile(`/proc/${pid}/${file}`, "utf8").catch(() => undefined)),
  );
  if (stat === undefined || command === undefined) return undefined; // gone meanwhile
  // After the name in parentheses: state, ppid, pgrp, session, tty_nr, tpgid.
  const [, ppid, pgid, sid, tty, tpgid] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const args = command.replaceAll("\0", " ").trim();
  return {
    pid: Number(pid),
    ppid: Number(ppid),
    sid: Number(sid),
    pgid: Number(pgid),
    tpgid: Number(tpgid),
    tty: Number(tty),
    args,
  };
}

/** A process's ancestors, nearest first. */
export function ancestors(all: ProcessRow[], of: ProcessRow): ProcessRow[] {
  const chain: ProcessRow[] = [];
  for (let pid = of.ppid; pid > 1; ) {
    const parent = all.find((row) => row.pid === pid);
    if (!parent) break;
    chain.push(parent);
    pid = parent.ppid;
  }
  return chain;
}

/** The processes whose parent is `pid`. */
export async function childrenOf(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8").catch(() => "");
  return text.trim().split(/\s+/).filter(Boolean).map(Number);
}

/** The terminal a process has as its stdin: `/dev/pts/3`. */
export function terminalOf(pid: number): Promise<string> {
  return readlink(`/proc/${pid}/fd/0`);
}

function rows(text: string): string[][] {
  return text
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => line.trim().split(/\s+/));
}

/** Without an interface (`%eth0`) and an IPv4 address's IPv6 coat. */
function plain(address: string): string {
  return address.replace(/%[^:\]]+/, "").replace(/^\[::ffff:([\d.]+)\]/, "$1");
}
