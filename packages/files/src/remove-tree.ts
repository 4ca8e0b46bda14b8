import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { open, opendir, rename, rmdir, unlink } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { O_PATH } from "./open-flags.ts";

const { O_DIRECTORY, O_NOFOLLOW } = constants;
/** How far below the top a path may get, bytes: what lies deeper is moved up. The kernel takes 4,096 in all. */
const maxBelow = 1000;
/** Full directories of one directory that are remembered before it is read again. */
const maxInside = 16;
/** Names removed at a time: what other file calls may have to wait behind. */
const together = 16;
/** How often what somebody still writes into is tried again, 0.1 s more each time. */
const maxRetries = 5;

const separator = Buffer.from("/");

/**
 * Removes a directory with all that is in it, however deep or wide: nothing else waits for it, what is kept in memory does not grow
 * with it, names may be any bytes, and no link is followed. Fine when it is not there, or is a file or a link.
 *
 * Throws the system's error: EBUSY for what is mounted in it, ENOTEMPTY when somebody goes on writing into it.
 */
export async function removeTree(path: string): Promise<void> {
  const top = Buffer.from(path);
  const way: Buffer[] = [top];
  for (let directory = way.at(-1), retries = 0; directory; directory = way.at(-1)) {
    const inside = await removeContent(directory, top);
    if (inside.length > 0) {
      way.push(...inside);
      continue;
    }
    const left = await failure(rmdir(directory));
    if (left && isFull(left)) {
      if (retries++ === maxRetries) throw left;
      await sleep(100 * retries);
      continue;
    }
    const last = left?.code === "ENOTDIR" ? await failure(unlink(directory)) : left; // it is a file, or a link
    if (last) throw last;
    way.pop();
  }
}

/** Removes what can be removed at once. Resolves with directories that are not empty, some at a time; deep ones move to the top. */
async function removeContent(directory: Buffer, top: Buffer): Promise<Buffer[]> {
  const full: Buffer[] = [];
  await using held = await open(directory, O_PATH | O_DIRECTORY | O_NOFOLLOW).catch(isNone);
  if (!held) return full;
  const through = Buffer.from(`/proc/self/fd/${held.fd}`);
  const removeEntry = async (name: Buffer, isDirectory: boolean) => {
    const place = Buffer.concat([through, separator, name]);
    if (!(await staysFull(place, isDirectory))) return;
    const path = Buffer.concat([directory, separator, name]);
    if (path.length - top.length <= maxBelow) full.push(path);
    else {
      const left = await failure(rename(place, moved(top)));
      if (left) throw left;
    }
  };
  let failed: { error: unknown } | undefined;
  const batch: Promise<void>[] = [];
  // Path and names as bytes: where the file system does not tell types, Node joins the two to ask.
  try {
    for await (const entry of await opendir(through, { encoding: "buffer" as BufferEncoding, bufferSize: 128 })) {
      const removal = removeEntry(entry.name as unknown as Buffer, entry.isDirectory()); // bytes by the encoding
      batch.push(
        removal.catch((error: unknown) => {
          failed ??= { error };
        }),
      );
      if (batch.length >= together) await Promise.all(batch.splice(0));
      if (full.length >= maxInside || failed) break;
    }
  } finally {
    await Promise.all(batch); // while the descriptor is this directory's
  }
  if (failed) throw failed.error;
  return full;
}

/** Removes a file or an empty directory; true when it is a directory that is not empty. */
async function staysFull(place: Buffer, isDirectory: boolean): Promise<boolean> {
  if (!isDirectory) {
    const left = await failure(unlink(place));
    if (left?.code !== "EISDIR") {
      if (left) throw left;
      return false;
    }
  }
  const left = await failure(rmdir(place));
  if (left && !isFull(left) && left.code !== "ENOTDIR") throw left; // what has become a file is found by the next round
  return left !== undefined && isFull(left);
}

/** What the system says; undefined when it is done, or there was nothing. */
async function failure(call: Promise<void>): Promise<NodeJS.ErrnoException | undefined> {
  return await call.then(
    () => undefined,
    (error: NodeJS.ErrnoException) => (error.code === "ENOENT" ? undefined : error),
  );
}

function isFull({ code }: NodeJS.ErrnoException): boolean {
  return code === "ENOTEMPTY" || code === "EEXIST";
}

/** There is nothing, or a file, or a link. */
function isNone(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT" && error.code !== "ENOTDIR") throw error;
}

/** A new place for a deep directory. */
function moved(top: Buffer): Buffer {
  return Buffer.concat([top, separator, Buffer.from(`.deep-${randomBytes(12).toString("hex")}`)]);
}
