import { randomBytes } from "node:crypto";
import { mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { removeTree } from "@hawser/files";
import type { Logger } from "@hawser/trace";
import { syncfs } from "../native/sync.ts";

/** How many pieces of corrupt state are kept for somebody to look at. The oldest go first. */
const maxAside = 16;

/** Replaces a file whole, durably: after a crash it has the old content or the new. */
export async function writeFileDurably(path: string, content: string | Uint8Array): Promise<void> {
  const temporary = `${path}.${randomBytes(4).toString("hex")}.tmp`;
  try {
    const file = await open(temporary, "wx", 0o600);
    try {
      await file.writeFile(content);
      await file.datasync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncDirectory(dirname(path));
}

/** Makes renames and removals in a directory durable. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** The parsed content; undefined when there is no such file. Throws SyntaxError when it is no JSON. */
export async function readWholeJSON(path: string): Promise<unknown> {
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  return text === undefined ? undefined : JSON.parse(text);
}

/** Moves state that cannot be understood out of the way, for somebody to look at, and says so in the log. */
export async function setAside(
  { aside, log }: { aside: string; log: Logger },
  path: string,
  reason: unknown,
): Promise<void> {
  await mkdir(aside, { recursive: true, mode: 0o700 });
  const place = join(aside, `${Date.now()}-${basename(dirname(path))}-${basename(path)}`);
  await rename(path, place);
  log.warn("corrupt state set aside", { path, place, reason });
  const old = (await readdir(aside)).sort().slice(0, -maxAside);
  for (const name of old) await removeTree(join(aside, name));
}

/** A new directory below `parent`, removed with all its content when disposed. */
export async function temporaryDirectory(parent: string): Promise<AsyncDisposable & { path: string }> {
  const path = join(parent, randomBytes(8).toString("hex"));
  await mkdir(path, { recursive: true, mode: 0o700 });
  return { path, [Symbol.asyncDispose]: () => removeDirectory(path) };
}

/**
 * Removes a directory, if it is there, with all that is in it; also one that a tar(1) without its feeder has not let go of yet.
 */
export async function removeDirectory(path: string): Promise<void> {
  await removeTree(path);
}

/**
 * Gathers calls of syncfs(2) on one file system: whoever asks while one is under way shares the next.
 * A call resolves once everything written before it is on disk.
 */
export function fileSystemSync(directory: string): () => Promise<void> {
  return gathered(async () => {
    const handle = await open(directory, "r");
    try {
      await syncfs(handle.fd);
    } finally {
      await handle.close();
    }
  });
}

/** Calls `body` for whoever asks; those who ask while it is under way share the next call. */
export function gathered(body: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined;
  let waiting: Promise<void> | undefined;
  const start = (): Promise<void> => {
    const run = body().finally(() => {
      if (running === run) running = undefined;
    });
    running = run;
    return run;
  };
  return () => {
    if (!running) return start();
    waiting ??= running
      .catch(() => undefined) // its own callers hear of it
      .then(() => {
        waiting = undefined;
        return start();
      });
    return waiting;
  };
}
