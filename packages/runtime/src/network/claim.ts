import { readFile, readlink, rm } from "node:fs/promises";
import path from "node:path";
import { identify, isAlive } from "../native/process-id.ts";
import { writeJSON } from "../store/json-file.ts";
import { type Claim, claimFile, readClaims } from "./other-claims.ts";

/** A range of IPv4 addresses. */
interface Range {
  first: number;
  last: number;
}

export interface Claimed {
  root: string;
  stateDir: string;
  bridge: string;
  /** Absent where others configure the pods' network: there are no addresses to take. */
  podCIDR?: string | undefined;
}

const advice = "set podCIDR (--pod-cidr) to addresses that are free";

/**
 * Takes the pods' addresses for this runtime, until disposed. Throws, with what to set, when another live runtime has any of
 * them, or when this machine has a route to some of them by an interface other than `bridge`: another runtime's pods, another CNI
 * network, a network that the machine is in. A wider route, as to 10.0.0.0/8, is fine, but for another runtime's. Without
 * addresses it is only noted who is here.
 */
export async function claimPodCIDR(own: Claimed): Promise<AsyncDisposable> {
  const { root, stateDir, podCIDR } = own;
  const file = path.join(stateDir, claimFile);
  const [netns, process_] = await Promise.all([readlink("/proc/self/ns/net"), identify(process.pid)]);
  if (!process_) throw new Error("/proc does not know this process");
  // First this, then the look at the others: of two that start at once, one at least sees the other.
  await writeJSON(file, { root, podCIDR, netns, process: process_ } satisfies Claim).catch(ignoreFullDisk);
  try {
    if (podCIDR !== undefined) await refuseTaken({ ...own, podCIDR }, netns);
  } catch (error) {
    await rm(file, { force: true });
    throw error;
  }
  return { [Symbol.asyncDispose]: () => rm(file, { force: true }) };
}

async function refuseTaken(
  { root, stateDir, bridge, podCIDR }: Claimed & { podCIDR: string },
  netns: string,
): Promise<void> {
  const others = (await readClaims(path.dirname(stateDir))).filter((claim) => claim.root !== root);
  for (const other of others) {
    if (other.netns !== netns || other.podCIDR === undefined) continue;
    if (!overlap(rangeOf(other.podCIDR), rangeOf(podCIDR))) continue;
    if (!(await isAlive(other.process))) continue; // its pods, if they live, have their route
    throw new Error(
      `pods' addresses ${podCIDR}: the runtime in ${other.root} (process ${other.process.pid}) has ${other.podCIDR}; ${advice}`,
    );
  }
  const foreign = routeInto(podCIDR, await readFile("/proc/net/route", "latin1"), bridge);
  if (!foreign) return;
  const owner = others.find((claim) => claim.podCIDR === foreign.destination)?.root;
  const whose = owner ? `, of the runtime in ${owner}` : "";
  throw new Error(
    `pods' addresses ${podCIDR}: this machine has a route to ${foreign.destination} by ${foreign.name}${whose}; ${advice}`,
  );
}

/** The route, by the text of /proc/net/route, that leads packets for pods elsewhere; undefined when there is none. */
export function routeInto(
  podCIDR: string,
  routes: string,
  bridge: string,
): { name: string; destination: string } | undefined {
  const pods = rangeOf(podCIDR);
  for (const line of routes.split("\n").slice(1)) {
    const [name = "", address = "", , , , , , mask = ""] = line.split("\t").map((field) => field.trim());
    if (name === "" || name === bridge || mask === "00000000") continue;
    const length = numberOf(mask).toString(2).replaceAll("0", "").length;
    const destination = `${dotted(numberOf(address))}/${length}`;
    const there = rangeOf(destination);
    const within = there.first >= pods.first && there.last <= pods.last;
    if (within || (/^hawser[0-9a-f]{8}$/.test(name) && overlap(there, pods))) return { name, destination };
  }
  return undefined;
}

function rangeOf(cidr: string): Range {
  const [address = "", length = ""] = cidr.split("/");
  const size = 2 ** (32 - Number(length));
  const value = address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
  const first = value - (value % size);
  return { first, last: first + size - 1 };
}

function overlap(a: Range, b: Range): boolean {
  return a.first <= b.last && b.first <= a.last;
}

/** /proc/net/route has addresses as the kernel keeps them, the first byte first, read as a number of this machine's. */
function numberOf(hex: string): number {
  return Buffer.from(hex, "hex").readUInt32LE();
}

function dotted(value: number): string {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join(".");
}

/** Nobody is kept from starting by a full disk; who looks later sees the route. */
function ignoreFullDisk(error: NodeJS.ErrnoException): void {
  if (error.code !== "ENOSPC" && error.code !== "EDQUOT") throw error;
}
