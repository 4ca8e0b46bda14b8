import { randomBytes, type webcrypto } from "node:crypto";
import { exportKey, generateKeys, importKeys, importSigningKey, type KeyPair, signingAlgorithm } from "./key.ts";
import { type AlternativeNames, alternativeNames, type Subject, subjectName } from "./subject.ts";
import { loadX509, type X509 } from "./x509.ts";

const day = 24 * 60 * 60 * 1000;
/** Certificates are valid from a little before they are made: clocks differ. Milliseconds. */
const clockSkew = 5 * 60 * 1000;
const caDays = 3650;
const leafDays = 365;

export type Usage = "server" | "client";

export interface CertificateOptions extends Subject, AlternativeNames {
  ca: KeyPair;
  usages: Usage[];
  /** Lifetime; a year when not given, never longer than the CA's. */
  days?: number;
}

/** A self-signed certificate authority with a fresh EC P-256 key. `days` defaults to ten years. */
export async function createCA({ commonName, days = caDays }: { commonName: string; days?: number }): Promise<KeyPair> {
  const x509 = await loadX509();
  const keys = await generateKeys();
  const usages = x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign;
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: subjectName({ commonName }),
    ...validity(days),
    signingAlgorithm,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(usages, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certPEM: certPEM(certificate), keyPEM: await exportKey(keys.privateKey) };
}

/** A fresh EC P-256 key and its certificate, signed by `ca`. Throws when an address or a name cannot be encoded. */
export async function issueCertificate(options: CertificateOptions): Promise<KeyPair> {
  const keys = await generateKeys();
  const certificate = await sign(options, keys.publicKey);
  return { certPEM: certificate, keyPEM: await exportKey(keys.privateKey) };
}

/** A certificate signing request (PKCS #10, PEM) for a private key. Names are a wish: the signer decides. */
export async function createCSR({ keyPEM, ...names }: Subject & AlternativeNames & { keyPEM: string }) {
  const x509 = await loadX509();
  const keys = await importKeys(keyPEM);
  const alternatives = alternativeNames(names);
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: subjectName(names),
    keys,
    signingAlgorithm,
    extensions: alternatives.length > 0 ? [new x509.SubjectAlternativeNameExtension(alternatives)] : [],
  });
  return `${request.toString("pem")}\n`;
}

/**
 * Signs a request. Of the request only the public key is taken, and its signature checked; the names are the caller's,
 * who has decided what the requester may be called. Resolves with the certificate, PEM. Throws when the request's signature does not verify.
 */
export async function signCSR({ csrPEM, ...options }: CertificateOptions & { csrPEM: string }): Promise<string> {
  const x509 = await loadX509();
  const request = new x509.Pkcs10CertificateRequest(csrPEM);
  if (!(await request.verify())) throw new Error("the certificate request's signature does not verify");
  return sign(options, request.publicKey);
}

async function sign(options: CertificateOptions, publicKey: webcrypto.CryptoKey | X509.PublicKey): Promise<string> {
  const { ca, usages, days = leafDays } = options;
  const x509 = await loadX509();
  const issuer = new x509.X509Certificate(ca.certPEM);
  const signingKey = await importSigningKey(ca.keyPEM);
  const { notBefore, notAfter } = validity(days);
  const alternatives = alternativeNames(options);
  const purposes = usages.map((usage) => x509.ExtendedKeyUsage[usage === "server" ? "serverAuth" : "clientAuth"]);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: subjectName(options),
    issuer: issuer.subjectName,
    notBefore,
    notAfter: new Date(Math.min(notAfter.getTime(), issuer.notAfter.getTime())),
    signingAlgorithm,
    publicKey,
    signingKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension(purposes),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
      ...(alternatives.length > 0 ? [new x509.SubjectAlternativeNameExtension(alternatives)] : []),
    ],
  });
  return certPEM(certificate);
}

function validity(days: number): { notBefore: Date; notAfter: Date } {
  const now = Date.now();
  return { notBefore: new Date(now - clockSkew), notAfter: new Date(now + days * day) };
}

/** 16 random bytes, the first neither zero nor with its top bit set: a positive number without padding. */
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString("hex");
}

function certPEM(certificate: X509.X509Certificate): string {
  return `${certificate.toString("pem")}\n`;
}
