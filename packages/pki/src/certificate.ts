import { createPrivateKey, X509Certificate } from "node:crypto";
import type { KeyPair } from "./key.ts";

/** What one wants to know of a certificate. */
export interface CertificateInfo {
  commonName: string;
  organizations: string[];
  issuerCommonName: string;
  dnsNames: string[];
  ipAddresses: string[];
  notBefore: Date;
  notAfter: Date;
  isCA: boolean;
  /** The extended key usages among the two we know. */
  usages: ("server" | "client")[];
  serialNumber: string;
}

const clientAuth = "1.3.6.1.5.5.7.3.2";
const serverAuth = "1.3.6.1.5.5.7.3.1";

/** Reads the first certificate of a PEM text. Throws when there is none. Loads no X.509 library: it is cheap. */
export function readCertificate(pem: string): CertificateInfo {
  const certificate = new X509Certificate(pem);
  const subject = subjectOf(certificate.toLegacyObject().subject);
  const names = alternativeNamesOf(certificate.subjectAltName ?? "");
  const purposes = certificate.keyUsage ?? [];
  return {
    ...subject,
    issuerCommonName: subjectOf(certificate.toLegacyObject().issuer).commonName,
    ...names,
    notBefore: certificate.validFromDate,
    notAfter: certificate.validToDate,
    isCA: certificate.ca,
    usages: [
      ...(purposes.includes(serverAuth) ? (["server"] as const) : []),
      ...(purposes.includes(clientAuth) ? (["client"] as const) : []),
    ],
    serialNumber: certificate.serialNumber,
  };
}

/**
 * The user and groups in a subject, as node's `getPeerCertificate()` and `toLegacyObject()` give it: a name that occurs
 * once is a string, one that occurs more often an array. The last common name counts, as in Go.
 */
export function subjectOf(subject: object | undefined): { commonName: string; organizations: string[] } {
  const values = (name: "CN" | "O"): string[] => {
    const value = (subject as Record<string, unknown> | undefined)?.[name];
    return [value].flat().filter((text) => typeof text === "string");
  };
  return { commonName: values("CN").at(-1) ?? "", organizations: values("O") };
}

/** SHA-256 of the certificate's DER, in lower-case hex. */
export function fingerprint(pem: string): string {
  return new X509Certificate(pem).fingerprint256.replaceAll(":", "").toLowerCase();
}

/** Whether `certPEM` was signed by the CA and belongs to `keyPEM`. Does not look at dates. */
export function belongsTo({ certPEM, keyPEM }: KeyPair, caPEM: string): boolean {
  const certificate = new X509Certificate(certPEM);
  const ca = new X509Certificate(caPEM);
  return (
    certificate.checkIssued(ca) &&
    certificate.verify(ca.publicKey) &&
    certificate.checkPrivateKey(createPrivateKey(keyPEM))
  );
}

/** Node writes `DNS:a, IP Address:1.2.3.4`, and quotes as JSON a value that would confuse a reader. */
function alternativeNamesOf(text: string): { dnsNames: string[]; ipAddresses: string[] } {
  const dnsNames: string[] = [];
  const ipAddresses: string[] = [];
  for (const [, kind, value = ""] of text.matchAll(/(?:^|, )([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^,]*)/g)) {
    const name = value.startsWith('"') ? String(JSON.parse(value)) : value;
    if (kind === "DNS") dnsNames.push(name);
    if (kind === "IP Address") ipAddresses.push(name);
  }
  return { dnsNames, ipAddresses };
}
