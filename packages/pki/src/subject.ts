import { isIP } from "node:net";
import type { X509 } from "./x509.ts";

/** Who a certificate is for: in Kubernetes, the common name is the user and the organizations are its groups. */
export interface Subject {
  commonName: string;
  organizations?: string[];
}

export interface AlternativeNames {
  dnsNames?: string[];
  /** IPv4 or IPv6 addresses in text form. */
  ipAddresses?: string[];
}

/**
 * The subject as attributes and not as one string: a name with `, O=system:masters` in it stays a name.
 * Organizations come first, as Go writes them.
 */
export function subjectName({ commonName, organizations = [] }: Subject): X509.JsonName {
  const names = organizations.length > 0 ? [{ O: organizations.map(checkName) }] : [];
  return [...names, { CN: [checkName(commonName)] }];
}

/** Throws when an address is not one. */
export function alternativeNames(names: AlternativeNames): X509.JsonGeneralNames {
  const { dnsNames = [], ipAddresses = [] } = names;
  for (const address of ipAddresses) {
    if (!isIP(address)) throw new Error(`not an IP address: ${JSON.stringify(address)}`);
  }
  return [
    ...dnsNames.map((value) => ({ type: "dns" as const, value })),
    ...ipAddresses.map((value) => ({ type: "ip" as const, value })),
  ];
}

function checkName(name: string): string {
  if (name === "") throw new Error("a certificate's subject has an empty name");
  // The library reads a leading # as hex-encoded ASN.1.
  if (name.startsWith("#")) throw new Error(`a certificate's subject cannot start with #: ${JSON.stringify(name)}`);
  return name;
}
