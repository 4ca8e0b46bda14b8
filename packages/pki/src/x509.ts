import type * as X509 from "@peculiar/x509";

export type { X509 };

let loaded: Promise<typeof X509> | undefined;

/**
 * The X.509 library, loaded when a certificate is first made: some 90 ms that a hop which only reads certificates
 * never pays. It wants `reflect-metadata` before it, and does not bring it.
 */
export function loadX509(): Promise<typeof X509> {
  loaded ??= import("reflect-metadata").then(() => import("@peculiar/x509"));
  return loaded;
}
