import { join } from "node:path";

/** The checkout this package lies in. */
export const checkout = join(import.meta.dirname, "../../..");

/** A program of one of the Debian packages that scripts/install.sh unpacks beside the project. */
export function peerProgram(debianPackage: string, path: string): string {
  return join(checkout, ".cache/peers", debianPackage, path);
}
