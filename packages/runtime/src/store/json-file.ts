import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";

let serial = 0;

/**
 * Replaces a JSON file in one step: a reader, or a restart after a crash, sees the old one or the new one.
 * Not synced to the disk: after a power failure nothing of what it describes is alive.
 */
export async function writeJSON(file: string, value: unknown): Promise<void> {
  const fresh = `${file}.${process.pid}.${++serial}`;
  try {
    await writeFile(fresh, JSON.stringify(value), { mode: 0o600 });
    await rename(fresh, file);
  } catch (error) {
    await rm(fresh, { force: true });
    throw error;
  }
}

/** writeJSON(), unless the file says just that: so nothing has to be written on a disk that is full. */
export async function keepJSON(file: string, value: unknown): Promise<void> {
  const there = await readFile(file, "utf8").catch(() => undefined);
  if (there !== JSON.stringify(value)) await writeJSON(file, value);
}

/** Undefined when the file is not there or was cut short. */
export async function readJSON<T>(file: string): Promise<T | undefined> {
  try {
    return JSON.parse(await readFile(file, "utf8")) as T;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT" || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** The names in a directory, which is made when it is missing. */
export async function namesIn(directory: string): Promise<string[]> {
  await mkdir(directory, { recursive: true, mode: 0o711 });
  return await readdir(directory);
}

/** Where one object keeps its record. */
export function recordPath(directory: string, id: string): string {
  return path.join(directory, id, "state.json");
}
