import { chmod, mkdir } from "node:fs/promises";
import { isIP } from "node:net";
import { hostname, networkInterfaces } from "node:os";
import { join } from "node:path";
import {
  belongsTo,
  type CertificateOptions,
  createCA,
  createKey,
  issueCertificate,
  type KeyPair,
  readCertificate,
} from "@hawser/pki";
import { readIfThere, writeWhole } from "./files.ts";
import { ensureKubeconfig, kubeconfig } from "./kubeconfig.ts";

/** A certificate with less time left is made anew at start. Milliseconds. */
const renewBefore = 30 * 24 * 60 * 60 * 1000;
const fixedNames = [
  "kubernetes",
  "kubernetes.default",
  "kubernetes.default.svc",
  "kubernetes.default.svc.cluster.local",
  "localhost",
];
const fixedAddresses = ["127.0.0.1", "::1"];

export interface CredentialsOptions {
  dataDir: string;
  /** Addresses and names clients reach the server by; the first one stands in the kubeconfig. */
  advertiseAddresses: string[];
  port: number;
  /** The name of cluster and context in the kubeconfig. */
  clusterName?: string;
  now?: () => number;
}

/** All PEM. The CA signs, and is believed for, servers, clients and kubelets alike. */
export interface Credentials {
  ca: KeyPair;
  serving: KeyPair;
  /** What we show kubelets: user `kube-apiserver-kubelet-client`. */
  kubeletClient: KeyPair;
  admin: KeyPair;
  serviceAccountKey: string;
  kubeconfigPath: string;
}

/**
 * The cluster's credentials below `dataDir/pki` (directory 0700, keys 0600), and the admin's kubeconfig at `dataDir/kubeconfig`.
 * Creates what is missing; makes anew what the CA did not sign, what does not fit its key, what lacks an address, and what ends within 30 days.
 * Every file is written whole or not at all. Throws when the CA itself has expired: what it signed elsewhere would stop with it.
 */
export async function ensureCredentials(options: CredentialsOptions): Promise<Credentials> {
  const { dataDir, now = Date.now } = options;
  const dir = join(dataDir, "pki");
  await mkdir(dir, { recursive: true, mode: 0o700 });
  await chmod(dir, 0o700);
  const ca = await ensureCA(dir, now());
  const ensure = (name: string, wanted: Omit<CertificateOptions, "ca">) =>
    ensurePair({ dir, ca, now: now() }, name, wanted);
  const masters = ["system:masters"];
  const [serving, kubeletClient, admin, serviceAccountKey] = await Promise.all([
    ensure("apiserver", {
      commonName: "kube-apiserver",
      ...servingNames(options.advertiseAddresses),
      usages: ["server"],
    }),
    ensure("apiserver-kubelet-client", {
      commonName: "kube-apiserver-kubelet-client",
      organizations: masters,
      usages: ["client"],
    }),
    ensure("admin", { commonName: "kubernetes-admin", organizations: masters, usages: ["client"] }),
    ensureKey(join(dir, "sa.key")),
  ]);
  const kubeconfigPath = join(dataDir, "kubeconfig");
  await ensureKubeconfig(kubeconfigPath, adminKubeconfig({ ca, admin }, options));
  return { ca, serving, kubeletClient, admin, serviceAccountKey, kubeconfigPath };
}

function adminKubeconfig({ ca, admin }: Pick<Credentials, "ca" | "admin">, options: CredentialsOptions): string {
  const { advertiseAddresses, port, clusterName } = options;
  const [host = "127.0.0.1"] = advertiseAddresses;
  return kubeconfig({
    server: `https://${isIP(host) === 6 ? `[${host}]` : host}:${port}`,
    ...(clusterName && { clusterName }),
    caPEM: ca.certPEM,
    ...admin,
  });
}

function servingNames(advertised: string[]): { dnsNames: string[]; ipAddresses: string[] } {
  const local = Object.values(networkInterfaces()).flatMap((addresses = []) => addresses);
  // A link-local address means nothing without its interface, and cannot be in a URL.
  const own = local
    .filter(({ address, internal }) => !internal && !/^fe80:/i.test(address))
    .map(({ address }) => address);
  const names = advertised.filter((name) => !isIP(name));
  return {
    dnsNames: [...new Set([...fixedNames, hostname(), ...names])],
    ipAddresses: [...new Set([...fixedAddresses, ...advertised.filter((name) => isIP(name)), ...own])],
  };
}

async function ensureCA(dir: string, now: number): Promise<KeyPair> {
  const known = await readPair(dir, "ca");
  if (known) {
    const { notAfter, isCA } = readCertificate(known.certPEM);
    if (!isCA || !belongsTo(known, known.certPEM)) {
      throw new Error(`${join(dir, "ca.crt")} is no CA certificate, or ca.key is not its key`);
    }
    if (notAfter.getTime() <= now) {
      throw new Error(`the cluster's CA expired at ${notAfter.toISOString()}: remove ${dir} to start a new one`);
    }
    return known;
  }
  const ca = await createCA({ commonName: "hawser-ca" });
  await writePair(dir, "ca", ca);
  return ca;
}

async function ensurePair(
  { dir, ca, now }: { dir: string; ca: KeyPair; now: number },
  name: string,
  wanted: Omit<CertificateOptions, "ca">,
): Promise<KeyPair> {
  const known = await readPair(dir, name);
  if (known && isStillGood(known, ca, wanted, now)) return known;
  const fresh = await issueCertificate({ ca, ...wanted });
  await writePair(dir, name, fresh);
  return fresh;
}

function isStillGood(pair: KeyPair, ca: KeyPair, wanted: Omit<CertificateOptions, "ca">, now: number): boolean {
  try {
    const info = readCertificate(pair.certPEM);
    const enough = (have: string[], want: string[] = []) => want.every((value) => have.includes(value));
    return (
      belongsTo(pair, ca.certPEM) &&
      info.notAfter.getTime() - now > renewBefore &&
      info.commonName === wanted.commonName &&
      enough(info.organizations, wanted.organizations) &&
      enough(info.dnsNames, wanted.dnsNames) &&
      enough(info.ipAddresses.map(canonicalAddress), wanted.ipAddresses?.map(canonicalAddress))
    );
  } catch {
    return false; // unreadable: made anew
  }
}

/** Node writes IPv6 addresses in full and in capitals. */
function canonicalAddress(address: string): string {
  return isIP(address) === 6 ? new URL(`http://[${address}]`).hostname : address;
}

async function ensureKey(path: string): Promise<string> {
  const known = await readIfThere(path);
  if (known !== undefined) return known;
  const key = await createKey();
  await writeWhole(path, key);
  return key;
}

async function readPair(dir: string, name: string): Promise<KeyPair | undefined> {
  const [certPEM, keyPEM] = await Promise.all([
    readIfThere(join(dir, `${name}.crt`)),
    readIfThere(join(dir, `${name}.key`)),
  ]);
  return certPEM !== undefined && keyPEM !== undefined ? { certPEM, keyPEM } : undefined;
}

/** The key first: a certificate on disk then always has one. */
async function writePair(dir: string, name: string, { certPEM, keyPEM }: KeyPair): Promise<void> {
  await writeWhole(join(dir, `${name}.key`), keyPEM);
  await writeWhole(join(dir, `${name}.crt`), certPEM, 0o644);
}
