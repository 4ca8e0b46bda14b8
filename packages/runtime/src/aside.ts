import { mkdir, readdir, rename } from "node:fs/promises";
import path from "node:path";
import { removeTree } from "@hawser/files";

/** How many sandboxes and containers whose state was corrupt are kept for somebody to look at. The oldest go first. */
const maxAside = 16;
/** What is kept of one: its state, what it was made from, and what a container had written. */
const kept = ["state.json", "config.json", "upper"];

/** Makes a place in `corrupt` for what is set aside, and has the oldest ones go. */
export async function placeAside(corrupt: string, name: string): Promise<string> {
  const place = path.join(corrupt, `${Date.now()}-${name}`);
  await mkdir(place, { recursive: true, mode: 0o700 });
  const old = (await readdir(corrupt)).sort().slice(0, -maxAside);
  for (const one of old) await removeTree(path.join(corrupt, one));
  return place;
}

/** Moves what is worth keeping out of an object's directory. Its root file system must not be mounted any more. */
export async function moveAside(directory: string, place: string): Promise<void> {
  for (const name of kept) {
    await rename(path.join(directory, name), path.join(place, name)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw error;
    });
  }
}
