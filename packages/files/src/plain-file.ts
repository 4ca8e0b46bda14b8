import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { O_PATH } from "./open-flags.ts";

/** What is read at a time, bytes. */
const blockBytes = 64 * 1024;

/**
 * Opens a file that somebody else may have put there, for reading. A pipe of that name is not waited for, and a device not touched:
 * what it is, is known before it is opened. Links are followed. Throws the system's error, or "is not a file".
 */
export async function openPlainFile(path: string): Promise<FileHandle> {
  await using place = await open(path, O_PATH);
  if (!(await place.stat()).isFile()) throw new Error("is not a file");
  return await open(`/proc/self/fd/${place.fd}`, constants.O_RDONLY | constants.O_NONBLOCK);
}

/** The text of such a file. Throws as openPlainFile does, and when there are more than `maxBytes`, of which no more are read. */
export async function readPlainFile(path: string, maxBytes: number): Promise<string> {
  await using file = await openPlainFile(path);
  return (await readAtMost(file, maxBytes)).toString("utf8");
}

/** All of an open file from its beginning. Throws when there are more than `maxBytes`. */
export async function readAtMost(file: FileHandle, maxBytes: number): Promise<Buffer> {
  const bytes = await readHead(file, maxBytes + 1);
  if (bytes.length > maxBytes) throw new Error(`larger than ${maxBytes} bytes`);
  return bytes;
}

/** The first `count` bytes of an open file, or all there are. What its size says is not gone by: those of /proc say 0. */
export async function readHead(file: FileHandle, count: number): Promise<Buffer> {
  const blocks: Buffer[] = [];
  let room = Buffer.alloc(0);
  for (let at = 0; at < count; ) {
    if (room.length === 0) room = Buffer.alloc(Math.min(blockBytes, count - at));
    const { bytesRead } = await file.read(room, 0, room.length, at);
    if (bytesRead === 0) break;
    blocks.push(room.subarray(0, bytesRead));
    room = room.subarray(bytesRead); // those of /proc give a page at a time
    at += bytesRead;
  }
  return Buffer.concat(blocks);
}
