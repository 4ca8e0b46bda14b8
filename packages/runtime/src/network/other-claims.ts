import { constants, type Stats } from "node:fs";
import { lstat, open, opendir } from "node:fs/promises";
import { isIPv4 } from "node:net";
import path from "node:path";
import type { ProcessId } from "../native/process-id.ts";
import { defaultState } from "../paths.ts";

/** What a runtime has of the node's network, for others to see: `network.json` in its state directory. */
export interface Claim {
  root: string;
  /** Absent where the pods' network is configured by others. */
  podCIDR?: string | undefined;
  /** The network namespace: in another one, the same addresses are others. */
  netns: string;
  process: ProcessId;
}

/** A claim, and in which state directory it is. */
export interface FoundClaim {
  claim: Claim;
  stateDir: string;
}

export const claimFile = "network.json";
/** Directories looked into in one: /tmp may have any number. */
const maxNames = 4096;
/** Of a claim, bytes; ours have some 200. */
const maxClaimBytes = 4096;
const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;

/**
 * What other runtimes have noted, in `states` and where they are by default. A claim counts only where nobody but root, or who
 * runs this, could have put it: in a directory and a file of theirs that others cannot write. Whatever else is there is passed
 * over.
 */
export async function readClaims(states: string): Promise<Claim[]> {
  return (await findClaims(states)).map(({ claim }) => claim);
}

/** readClaims(), in several directories, with the state directory of each claim. */
export async function findClaims(...states: string[]): Promise<FoundClaim[]> {
  const found: FoundClaim[] = [];
  for (const directory of new Set([...states, defaultState])) {
    for (const name of await namesOf(directory)) {
      const stateDir = path.join(directory, name);
      const claim = await readClaim(stateDir);
      if (claim) found.push({ claim, stateDir });
    }
  }
  return found;
}

async function namesOf(directory: string): Promise<string[]> {
  const names: string[] = [];
  try {
    for await (const entry of await opendir(directory)) {
      if (names.length === maxNames) break;
      if (entry.isDirectory()) names.push(entry.name);
    }
  } catch {
    // It is not there, or going: there is no claim in it that could be read.
  }
  return names;
}

/** That of the runtime whose state directory this is; undefined where there is none that counts. */
export async function readClaim(stateDir: string): Promise<Claim | undefined> {
  return await read(stateDir).catch(() => undefined);
}

async function read(stateDir: string): Promise<Claim | undefined> {
  const directory = await lstat(stateDir);
  if (!directory.isDirectory() || !isTrusted(directory)) return undefined;
  // Of a pipe or a link nobody waits, or is led away.
  const file = await open(path.join(stateDir, claimFile), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    const status = await file.stat();
    if (!status.isFile() || !isTrusted(status) || status.size > maxClaimBytes) return undefined;
    const { buffer, bytesRead } = await file.read(Buffer.alloc(maxClaimBytes), 0, maxClaimBytes, 0);
    return claimOf(JSON.parse(buffer.toString("utf8", 0, bytesRead)));
  } finally {
    await file.close();
  }
}

/** Nobody can write it but root and who runs this. */
function isTrusted({ uid, mode }: Stats): boolean {
  return (uid === 0 || uid === process.geteuid?.()) && (mode & 0o022) === 0;
}

function claimOf(value: unknown): Claim | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { root, podCIDR, netns, process: holder } = value as Partial<Record<keyof Claim, unknown>>;
  const { pid, startTime } = (typeof holder === "object" && holder !== null ? holder : {}) as Partial<ProcessId>;
  if (!is(root, /^\/[\x20-\x7e\u00a0-\uffff]*$/) || !is(netns, /^net:\[\d+\]$/)) return undefined;
  if (!Number.isInteger(pid) || pid === undefined || pid <= 0 || !is(startTime, /^\d+$/)) return undefined;
  const claim = { root, netns, process: { pid, startTime } };
  if (podCIDR === undefined) return claim;
  if (!is(podCIDR, /^[\d.]+\/\d{1,2}$/)) return undefined;
  const [address = "", length = ""] = podCIDR.split("/");
  if (!isIPv4(address) || Number(length) > 32) return undefined;
  return { ...claim, podCIDR };
}

function is(value: unknown, shape: RegExp): value is string {
  return typeof value === "string" && shape.test(value);
}
