import { lookup } from "node:dns/promises";
import { BlockList, isIP } from "node:net";
import type { Node, NodeAddress } from "@hawser/api";

/**
 * Address types in the order they are tried. As kubeadm sets them: a node's name need not resolve where the server runs.
 *
 * Source: kubernetes/kubernetes cmd/kubeadm/app/phases/controlplane/manifests.go
 */
export const defaultAddressTypes = ["InternalIP", "ExternalIP", "Hostname", "InternalDNS", "ExternalDNS"];

/** Where no kubelet may live, whatever its node says: a node must not turn the server against the server's own network (CVE-2022-3294). */
const neverNodes = new BlockList();
neverNodes.addSubnet("0.0.0.0", 8, "ipv4");
neverNodes.addSubnet("169.254.0.0", 16, "ipv4");
neverNodes.addSubnet("224.0.0.0", 3, "ipv4");
neverNodes.addAddress("::", "ipv6");
neverNodes.addSubnet("fe80::", 10, "ipv6");
neverNodes.addSubnet("ff00::", 8, "ipv6");
const loopback = new BlockList();
loopback.addSubnet("127.0.0.0", 8, "ipv4");
loopback.addAddress("::1", "ipv6");

/**
 * A node's first address of the preferred types, as its status has it.
 * Throws Error in the real server's words when there is none.
 *
 * Source: kubernetes/kubernetes pkg/util/node/node.go GetPreferredNodeAddress
 */
export function preferredAddress(node: Node, types: string[] = defaultAddressTypes): string {
  const addresses = node.status?.addresses ?? [];
  for (const type of types) {
    const found = addresses.find((candidate) => candidate.type === type);
    if (found) return found.address;
  }
  throw new Error(`no preferred addresses found; known addresses: [${addresses.map(goAddress).join(" ")}]`);
}

/**
 * The IP address to dial for a node's address: names are looked up once, and what was checked is what is dialled.
 * Throws Error when it does not resolve or may not be a node's.
 */
export async function dialAddress(
  address: string,
  { allowLoopback, resolve = resolveName }: { allowLoopback: boolean; resolve?: (name: string) => Promise<string[]> },
): Promise<string> {
  const candidates = isIP(address) ? [address] : await resolve(address);
  const allowed = candidates.find((ip) => isAllowed(ip, allowLoopback));
  if (allowed === undefined)
    throw new Error(`address not allowed: ${address} (${candidates.join(", ") || "no address"})`);
  return allowed;
}

function isAllowed(ip: string, allowLoopback: boolean): boolean {
  const plain = ip.replace(/^::ffff:(?=\d+\.)/i, "");
  const family = isIP(plain) === 6 ? "ipv6" : "ipv4";
  if (isIP(plain) === 0 || neverNodes.check(plain, family)) return false;
  return allowLoopback || !loopback.check(plain, family);
}

async function resolveName(name: string): Promise<string[]> {
  try {
    return (await lookup(name, { all: true, order: "ipv4first" })).map(({ address }) => address);
  } catch (cause) {
    throw new Error(`dial tcp: lookup ${name}: no such host`, { cause });
  }
}

/** As Go prints a NodeAddress. */
function goAddress({ type, address }: NodeAddress): string {
  return `{${type} ${address}}`;
}
