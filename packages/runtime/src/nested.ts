import { realpath } from "node:fs/promises";
import path from "node:path";
import { readPlainFile } from "@hawser/files";
import { isAlive } from "./native/process-id.ts";
import { type FoundClaim, findClaims, readClaim } from "./network/other-claims.ts";
import { defaultState, type Paths } from "./paths.ts";

/** Of what a root's runtime.json says, bytes; ours have some 300. */
const maxPlacesBytes = 64 * 1024;

type Places = Pick<Paths, "root" | "stateDir">;

/**
 * Throws when the root or the state directory lies in that of another live runtime, or one of that's in ours: whoever is removed
 * would take the other with it. It is found by what it has noted in its state directory, where that is by default, beside ours,
 * in it or above; and by what is noted in its root, where that is above.
 */
export async function refuseNested({ root, stateDir }: Places): Promise<void> {
  const own = await realPaths({ root, stateDir });
  for (const other of await others(own)) {
    const { claim } = other;
    if (!(await isAlive(claim.process))) continue; // whatever has become of its paths
    const holder = `the runtime in ${claim.root} (process ${claim.process.pid})`;
    const theirs = await realPaths({ root: claim.root, stateDir: other.stateDir }).catch((cause: Error) => {
      throw new Error(`cannot tell where the paths of ${holder} lead: ${cause.message}`, { cause });
    });
    if (theirs.root === own.root || theirs.stateDir === own.stateDir) continue; // the locks tell of these
    const nested = nesting(own, theirs);
    if (!nested) continue;
    throw new Error(
      nested.inside === "ours"
        ? `${nested.inner} lies in ${nested.outer} of ${holder}; choose a directory outside`
        : `${nested.inner} of ${holder} lies in ${nested.outer}; choose another directory`,
    );
  }
}

const kinds = { root: "runtime root", stateDir: "state directory" } as const;

function nesting(own: Places, theirs: Places): { inside: "ours" | "theirs"; inner: string; outer: string } | undefined {
  for (const mine of ["root", "stateDir"] as const) {
    for (const their of ["root", "stateDir"] as const) {
      const [a, b] = [`${kinds[mine]} ${own[mine]}`, `${kinds[their]} ${theirs[their]}`];
      // A state directory of ours by default is one of many, whoever has taken the one above them.
      const usual = mine === "stateDir" && their === "stateDir";
      if (isIn(own[mine], theirs[their]) && !(usual && path.dirname(own[mine]) === defaultState)) {
        return { inside: "ours", inner: a, outer: b };
      }
      if (isIn(theirs[their], own[mine]) && !(usual && path.dirname(theirs[their]) === defaultState)) {
        return { inside: "theirs", inner: b, outer: a };
      }
    }
  }
  return undefined;
}

function isIn(inner: string, outer: string): boolean {
  return `${inner}/`.startsWith(outer === "/" ? outer : `${outer}/`);
}

async function others({ root, stateDir }: Places): Promise<FoundClaim[]> {
  const found = await findClaims(path.dirname(stateDir), stateDir, root);
  for (const directory of new Set([root, stateDir].flatMap(above))) {
    const claim = await readClaim(directory);
    if (claim) found.push({ claim, stateDir: directory });
    const noted = await stateDirOf(directory);
    const holder = noted === undefined ? undefined : await readClaim(noted);
    if (noted !== undefined && holder) found.push({ claim: holder, stateDir: noted });
  }
  return found;
}

/** The state directory of the runtime whose root this is, or was; undefined when it is none. */
async function stateDirOf(root: string): Promise<string | undefined> {
  try {
    const places: unknown = JSON.parse(await readPlainFile(path.join(root, "runtime.json"), maxPlacesBytes));
    const { stateDir } = (typeof places === "object" && places !== null ? places : {}) as { stateDir?: unknown };
    return typeof stateDir === "string" && path.isAbsolute(stateDir) ? stateDir : undefined;
  } catch {
    return undefined; // not there, or not ours: whatever it is, no runtime is found by it
  }
}

function above(directory: string): string[] {
  const parent = path.dirname(directory);
  return parent === directory ? [] : [parent, ...above(parent)];
}

async function realPaths({ root, stateDir }: Places): Promise<Places> {
  return { root: await realPath(root), stateDir: await realPath(stateDir) };
}

/** Where a path leads, also one of which not all is there yet. */
async function realPath(file: string): Promise<string> {
  try {
    return await realpath(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT" || path.dirname(file) === file) throw error;
    return path.join(await realPath(path.dirname(file)), path.basename(file));
  }
}
