import { isIP, isIPv6 } from "node:net";
import { CNIError, type CNIResult } from "./cni.ts";

/**
 * The addresses a pod has at `ifName` by a network's result, IPv4 first, as the kubelet is told them. Those of its other interfaces
 * are passed over. Throws CNIError for one that is none.
 *
 * Source: containernetworking/cni SPEC.md, section 5 (0.3.0 to 1.1.0), and its version 0.2.0; containerd/go-cni result.go
 */
export function addressesOf(result: CNIResult, ifName: string): string[] {
  const interfaces = itemsOf(result.interfaces);
  const isOurs = (index: unknown) =>
    index === undefined || index === null || fieldsOf(interfaces[Number(index)]).name === ifName;
  const listed = itemsOf(result.ips)
    .map(fieldsOf)
    .filter((ip) => isOurs(ip.interface))
    .map(({ address }) => address);
  const old = [result.ip4, result.ip6].flatMap((one) => fieldsOf(one).ip ?? []);
  const found = [...listed, ...old].map((cidr) => {
    const address = String(cidr).split("/")[0] ?? "";
    if (isIP(address) === 0)
      throw new CNIError(`the network's plugins gave an address that is none: ${JSON.stringify(cidr)}`);
    return address;
  });
  return found.toSorted((a, b) => Number(isIPv6(a)) - Number(isIPv6(b)));
}

/** As CNI has called the same things: versions of one kind differ in what an address says of itself alone. */
const kinds: { [version: string]: "old" | "new" } = {
  "0.3.0": "old",
  "0.3.1": "old",
  "0.4.0": "old",
  "1.0.0": "new",
  "1.1.0": "new",
};

/**
 * A result in the words of a version, as a plugin wants to be told it; undefined for one that cannot be said in it.
 *
 * Source: containernetworking/cni pkg/types/100/types.go
 */
export function resultAs(result: CNIResult, version: string): CNIResult | undefined {
  const { cniVersion = version } = result;
  if (cniVersion === version) return { ...result, cniVersion };
  const [from, to] = [kinds[String(cniVersion)], kinds[version]];
  if (!from || !to) return undefined;
  const ips = itemsOf(result.ips).map((item) => {
    const { version: _, ...ip } = fieldsOf(item);
    return to === "new" ? ip : { version: String(ip.address).includes(":") ? "6" : "4", ...ip };
  });
  return { ...result, cniVersion: version, ...(result.ips !== undefined && { ips }) };
}

function itemsOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function fieldsOf(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}
