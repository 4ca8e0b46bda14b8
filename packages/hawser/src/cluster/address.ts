import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { networkInterfaces } from "node:os";
import { join } from "node:path";

/**
 * The IPv4 address this machine is known by: that of the interface with the default route, else the first that is not
 * loopback, else 127.0.0.1.
 */
export async function primaryAddress(): Promise<string> {
  const interfaces = networkInterfaces();
  const name = defaultInterface(await readFile("/proc/net/route", "latin1").catch(() => ""));
  const candidates = [
    ...(name ? (interfaces[name] ?? []) : []),
    ...Object.values(interfaces).flatMap((list) => list ?? []),
  ];
  return candidates.find(({ family, internal }) => family === "IPv4" && !internal)?.address ?? "127.0.0.1";
}

/** The interface of the default route with the lowest metric, by the text of /proc/net/route. */
export function defaultInterface(routes: string): string | undefined {
  const defaults = routes
    .split("\n")
    .slice(1)
    .map((line) => line.split("\t"))
    .filter(([, destination, , , , , , mask]) => destination === "00000000" && mask === "00000000")
    .sort((a, b) => Number(a[6]) - Number(b[6]));
  return defaults[0]?.[0];
}

/**
 * A /24 of 10.88.0.0/16 for the pods of one cluster: the first one for the default data directory, one by its name for
 * any other, and in both cases the next that no interface of this machine is in, nor another runtime's (network/claim.ts there).
 */
export function freePodCIDR(
  dataDir: string,
  { defaultDir, addresses = [...ownAddresses(), ...runtimesAddresses()] }: { defaultDir: string; addresses?: string[] },
): string {
  const first = dataDir === defaultDir ? 0 : 1 + (createHash("sha256").update(dataDir).digest().readUInt16BE() % 255);
  for (let step = 0; step < 256; step++) {
    const prefix = `10.88.${(first + step) % 256}.`;
    if (!addresses.some((address) => address.startsWith(prefix))) return `${prefix}0/24`;
  }
  throw new Error("every subnet of 10.88.0.0/16 is in use on this machine");
}

/** The first address of each runtime's pods, of those with no bridge yet too: as they note it in their state directories. */
function runtimesAddresses(states = "/run/hawser"): string[] {
  const files = existsSync(states) ? readdirSync(states).map((name) => join(states, name, "network.json")) : [];
  return files.flatMap((file) => {
    try {
      const { podCIDR } = JSON.parse(readFileSync(file, "utf8")) as { podCIDR?: unknown };
      return typeof podCIDR === "string" ? [podCIDR] : [];
    } catch {
      return []; // it has just gone, or is none
    }
  });
}

function ownAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address));
}
