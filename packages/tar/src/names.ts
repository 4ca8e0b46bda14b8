import { TarError } from "./header.ts";

/**
 * An entry's place below the tree's root, as the names on the way; empty for the root itself.
 *
 * Undefined for a name that leads out of the tree (".."). Throws TarError for one that does not begin with the tree's own
 * name, as every name of an honest archive of it does: an absolute one, another tree's. (kubectl's words: "tar contents corrupted".)
 */
export function placeOf(name: string, root: string): string[] | undefined {
  if (name.includes("\0")) throw corrupted();
  const parts = partsOf(name);
  const expected = partsOf(root);
  if (name.startsWith("/") || expected.some((part, index) => parts[index] !== part)) throw corrupted();
  const below = parts.slice(expected.length);
  return below.includes("..") ? undefined : below;
}

/**
 * Whether a link that lies `depth` directories below the tree's root stays in the tree: relative, and climbing only at its
 * beginning, and not above the root. ("p/../q" is not what it seems where p is a link itself: CVE-2019-11251.)
 */
export function staysInside(target: string, depth: number): boolean {
  if (target === "" || target.startsWith("/") || target.includes("\0")) return false;
  const parts = partsOf(target);
  const climbs = parts.findIndex((part) => part !== "..");
  const leading = climbs < 0 ? parts.length : climbs;
  return leading <= depth && !parts.slice(leading).includes("..");
}

function partsOf(name: string): string[] {
  return name.split("/").filter((part) => part !== "" && part !== ".");
}

function corrupted(): TarError {
  return new TarError("tar contents corrupted");
}
