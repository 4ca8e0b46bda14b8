import { createPrivateKey, createPublicKey, type KeyObject, webcrypto } from "node:crypto";

/** A certificate and its private key, both PEM; the key as PKCS #8. */
export interface KeyPair {
  certPEM: string;
  keyPEM: string;
}

export const keyAlgorithm = { name: "ECDSA", namedCurve: "P-256" } as const;
export const signingAlgorithm = { name: "ECDSA", hash: "SHA-256" } as const;

export function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(keyAlgorithm, true, ["sign", "verify"]);
}

/** A fresh EC P-256 private key as PKCS #8 PEM. */
export async function createKey(): Promise<string> {
  const { privateKey } = await generateKeys();
  return exportKey(privateKey);
}

export async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  const der = await webcrypto.subtle.exportKey("pkcs8", key);
  return pem("PRIVATE KEY", Buffer.from(der));
}

/** Reads a PEM private key (PKCS #8 or SEC 1). Throws when it is not EC P-256: nothing else signs here. */
export async function importSigningKey(keyPEM: string): Promise<webcrypto.CryptoKey> {
  const key = createPrivateKey(keyPEM);
  if (key.asymmetricKeyType !== "ec" || key.asymmetricKeyDetails?.namedCurve !== "prime256v1") {
    throw new Error(`the signing key is ${describe(key)}, not EC P-256`);
  }
  const der = key.export({ format: "der", type: "pkcs8" });
  return webcrypto.subtle.importKey("pkcs8", der, keyAlgorithm, false, ["sign"]);
}

/** Both halves of a PEM private key, ready to sign and to be named in a request. */
export async function importKeys(keyPEM: string): Promise<webcrypto.CryptoKeyPair> {
  const privateKey = await importSigningKey(keyPEM);
  const spki = createPublicKey(createPrivateKey(keyPEM)).export({ format: "der", type: "spki" });
  const publicKey = await webcrypto.subtle.importKey("spki", spki, keyAlgorithm, true, ["verify"]);
  return { privateKey, publicKey };
}

function describe(key: KeyObject): string {
  const curve = key.asymmetricKeyDetails?.namedCurve;
  return curve ? `${key.asymmetricKeyType} ${curve}` : String(key.asymmetricKeyType);
}

function pem(label: string, der: Buffer): string {
  const lines = der.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}
