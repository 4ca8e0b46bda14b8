import { writeFile } from "node:fs/promises";
import type { Reaper } from "../native/reaper.ts";
import { outputOf, runWithin } from "../native/spawn.ts";
import { findProgram, needProgram } from "../oci/probe.ts";

export interface Rules {
  /** Eight hex digits that tell this runtime's rules from another's. */
  hash: string;
  bridge: string;
  podCIDR: string;
}

/** A chain of ours, and from which of the kernel's it is entered. */
interface Chain {
  table: "nat" | "filter" | "raw";
  from: string;
  name: string;
  rules: string[];
}

function chains({ hash, bridge, podCIDR }: Rules): Chain[] {
  return [
    {
      // Pods reach the world by the node's address; among themselves by their own.
      table: "nat",
      from: "POSTROUTING",
      name: `HAWSER-POST-${hash}`,
      rules: [`-s ${podCIDR} ! -d ${podCIDR} -j MASQUERADE`],
    },
    {
      // Where the node's policy is to drop what it forwards.
      table: "filter",
      from: "FORWARD",
      name: `HAWSER-FWD-${hash}`,
      rules: [`-i ${bridge} -j ACCEPT`, `-o ${bridge} -j ACCEPT`],
    },
    {
      // portmap sets route_localnet on the bridge: no pod may use that to reach the node's loopback (CVE-2020-8558).
      table: "raw",
      from: "PREROUTING",
      name: `HAWSER-PRE-${hash}`,
      rules: [`-i ${bridge} -d 127.0.0.0/8 -j DROP`],
    },
  ];
}

/**
 * Puts the node's own rules for the pods' network in place. Idempotent: chains are filled anew.
 * Throws, in its words, when iptables fails, or does not answer within `timeoutMs`: another program may hold its lock.
 */
export async function addRules(
  { reaper, timeoutMs }: { reaper: Reaper; timeoutMs: number },
  rules: Rules,
): Promise<void> {
  const [restore, iptables] = await Promise.all([
    needProgram("iptables-restore", "iptables"),
    needProgram("iptables", "iptables"),
  ]);
  const input = chains(rules)
    .map(({ table, name, rules: lines }) =>
      [`*${table}`, `:${name} - [0:0]`, ...lines.map((line) => `-A ${name} ${line}`), "COMMIT", ""].join("\n"),
    )
    .join("");
  const filling = { path: restore, args: ["--wait", "--noflush"], input };
  outputOf(filling, await runWithin({ reaper }, timeoutMs, filling));
  for (const { table, from, name } of chains(rules)) {
    const jumping = (what: string) => ({ path: iptables, args: ["-w", "-t", table, what, from, "-j", name] });
    const known = await runWithin({ reaper }, timeoutMs, jumping("-C"));
    if (known.code !== 0) outputOf(jumping("-I"), await runWithin({ reaper }, timeoutMs, jumping("-I")));
  }
  await writeFile("/proc/sys/net/ipv4/ip_forward", "1");
}

/**
 * Takes the rules away, and portmap's own chains when nobody has a port in them any more. Idempotent. Throws when iptables does
 * not answer within `timeoutMs`.
 */
export async function removeRules(
  { reaper, timeoutMs }: { reaper: Reaper; timeoutMs: number },
  rules: Rules,
): Promise<void> {
  const iptables = await findProgram("iptables");
  if (!iptables) return; // then none were made
  const tables = async (table: string, ...args: string[]) =>
    await runWithin({ reaper }, timeoutMs, { path: iptables, args: ["-w", "-t", table, ...args] });
  for (const { table, from, name } of chains(rules)) {
    while ((await tables(table, "-D", from, "-j", name)).code === 0);
    await tables(table, "-F", name);
    await tables(table, "-X", name);
  }
}

/** Removes a bridge. Idempotent. Throws when ip(8) does not answer within `timeoutMs`. */
export async function removeBridge(
  { reaper, timeoutMs }: { reaper: Reaper; timeoutMs: number },
  bridge: string,
): Promise<void> {
  const ip = await findProgram("ip");
  if (ip) await runWithin({ reaper }, timeoutMs, { path: ip, args: ["link", "delete", bridge] });
}
