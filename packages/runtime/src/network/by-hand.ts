import { readdir, readFile, rm } from "node:fs/promises";
import path from "node:path";
import type { Reaper } from "../native/reaper.ts";
import { outputOf, runWithin } from "../native/spawn.ts";
import { needProgram } from "../oci/probe.ts";

/** The chain that has a rule for each host port. Source: containernetworking/plugins plugins/meta/portmap/portmap.go */
const hostPorts = "CNI-HOSTPORT-DNAT";

/**
 * Gives back a pod's addresses as host-local would, without it: a file each, with the pod's id in it. Idempotent.
 *
 * Source: containernetworking/plugins plugins/ipam/host-local/backend/disk/backend.go
 */
export async function releaseAddresses(
  { name, ipamDir }: { name: string; ipamDir: string },
  id: string,
): Promise<void> {
  const directory = path.join(ipamDir, name);
  const names = await readdir(directory).catch(ifAny);
  for (const file of (names ?? []).filter((each) => /^[0-9a-f.:]+$/i.test(each))) {
    const place = path.join(directory, file);
    const [owner] = ((await readFile(place, "utf8").catch(ifAny)) ?? "").split("\n");
    if (owner?.trim() === id) await rm(place, { force: true });
  }
}

/**
 * Removes a pod's host ports as portmap would, without it: the rules that have the pod's id in their comment, and the chains they
 * lead to, all at once. Idempotent. Throws, in its words, when iptables is not there, fails, or does not answer within
 * `timeoutMs`.
 */
export async function removeHostPorts(
  { reaper, timeoutMs }: { reaper: Reaper; timeoutMs: number },
  id: string,
): Promise<void> {
  const iptables = await needProgram("iptables", "iptables");
  const asking = (...chain: string[]) => ({ path: iptables, args: ["-w", "-t", "nat", "-S", ...chain] });
  const listing = asking(hostPorts);
  const listed = await runWithin({ reaper }, timeoutMs, listing);
  // Of a chain that is not there it says one thing or another, by its version; the table's list has them all, names first.
  if (listed.code !== 0) {
    const table = outputOf(asking(), await runWithin({ reaper }, timeoutMs, asking()));
    if (!table.split("\n").includes(`-N ${hostPorts}`)) return;
  }
  const input = removalOf(outputOf(listing, listed), id);
  if (input === undefined) return;
  const restore = await needProgram("iptables-restore", "iptables");
  const removing = { path: restore, args: ["--wait", "--noflush"], input };
  outputOf(removing, await runWithin({ reaper }, timeoutMs, removing));
}

/**
 * What iptables-restore has to be told, by what `iptables -S` says of portmap's chain; undefined when nothing is there of this
 * id.
 */
export function removalOf(rules: string, id: string): string | undefined {
  const own = rules
    .split("\n")
    .filter((rule) => rule.startsWith(`-A ${hostPorts} `) && rule.includes(`id: \\"${id}\\"`));
  if (own.length === 0) return undefined;
  const chains = [...new Set(own.flatMap((rule) => / -j (CNI-DN-[0-9a-f]+)$/.exec(rule.trim())?.[1] ?? []))];
  const lines = [
    ...chains.map((chain) => `:${chain} - [0:0]`), // empties it
    ...own.map((rule) => rule.trim().replace("-A", "-D")),
    ...chains.map((chain) => `-X ${chain}`),
  ];
  return ["*nat", ...lines, "COMMIT", ""].join("\n");
}

function ifAny(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}
