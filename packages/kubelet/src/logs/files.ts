import { type FileHandle, readdir } from "node:fs/promises";
import path from "node:path";
import { createGunzip } from "node:zlib";
import { openPlainFile } from "@hawser/files";
import { tailOffset } from "./tail.ts";

const newline = 0x0a;

/** The rotated files of a log, oldest first: `0.log.20260102-150405`, packed ones ending in `.gz`. */
export async function rotatedFiles(logFile: string): Promise<string[]> {
  const folder = path.dirname(logFile);
  const prefix = `${path.basename(logFile)}.`;
  const found = await readdir(folder).catch(() => []);
  const names = found.filter((name) => name.startsWith(prefix) && stamp.test(name.slice(prefix.length)));
  const known = new Set(names);
  return names
    .filter((name) => !name.endsWith(packed) || !known.has(unpacked(name))) // one that is just being packed is there twice
    .sort((a, b) => (unpacked(a) < unpacked(b) ? -1 : 1))
    .map((name) => path.join(folder, name));
}

const packed = ".gz";
const stamp = /^\d{8}-\d{6}(\.\d+)?(\.gz)?$/;

/** A rotated file's name before it was packed: by it the files of one log are in order. */
export function unpacked(file: string): string {
  return file.endsWith(packed) ? file.slice(0, -packed.length) : file;
}

/** A log's files at one moment. */
export interface LogFiles {
  /** Oldest first. */
  rotated: string[];
  /** What the runtime writes to: for a moment of each rotation it has a rotated file's name. Undefined when there is none. */
  current: FileHandle | undefined;
}

/** Opens the current file, and lists those before it: none twice and none left out, though one rotation may be under way. */
export async function logFiles(logFile: string): Promise<LogFiles> {
  for (;;) {
    const before = await rotatedFiles(logFile);
    let current = await openIfThere(logFile);
    try {
      const rotated = await rotatedFiles(logFile);
      if (rotated.map(unpacked).join() === before.map(unpacked).join()) {
        const newest = rotated.at(-1);
        if (!current && newest && newest === unpacked(newest)) {
          current = await openIfThere(newest);
          if (!current) continue;
          rotated.pop();
        }
        const opened = current;
        current = undefined;
        return { rotated, current: opened };
      }
    } finally {
      await current?.close();
    }
  }
}

/** Throws for what is not a file: whoever has the folder mounted may have put a pipe there. */
export async function openIfThere(file: string): Promise<FileHandle | undefined> {
  return await openPlainFile(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
    return undefined;
  });
}

/**
 * The bytes of a rotated file from an offset on, unpacked. For a packed file the offset is one of the unpacked bytes. One
 * that is packed meanwhile is read all the same; one that is too old and removed meanwhile is empty.
 */
export async function* fileBytes(file: string, offset = 0): AsyncGenerator<Buffer> {
  const plain = file === unpacked(file) ? await openIfThere(file) : undefined;
  if (plain) {
    yield* plain.createReadStream({ start: offset }) as AsyncIterable<Buffer>;
    return;
  }
  const handle = await openIfThere(unpacked(file) + packed);
  if (!handle) return;
  let skip = offset;
  const source = handle.createReadStream();
  const content = createGunzip();
  source.on("error", (error) => content.destroy(error));
  try {
    for await (const chunk of source.pipe(content) as AsyncIterable<Buffer>) {
      if (skip < chunk.length) yield chunk.subarray(skip);
      skip = Math.max(0, skip - chunk.length);
    }
  } finally {
    source.destroy();
  }
}

/** Where the last `lines` lines of a rotated file begin, and how many there are of them. */
export async function tailStart(file: string, lines: number): Promise<{ offset: number; lines: number }> {
  const total = await countLines(fileBytes(file));
  const skip = Math.max(0, total - lines);
  return { offset: skip > 0 ? await offsetOfLine(file, skip) : 0, lines: total - skip };
}

/** As `tailStart`, of the file that is written to, from its end. */
export async function currentTail(current: FileHandle, lines: number): Promise<{ offset: number; lines: number }> {
  const offset = await tailOffset(current, lines);
  if (offset > 0) return { offset, lines };
  const all = current.createReadStream({ start: 0, autoClose: false });
  return { offset, lines: await countLines(all as AsyncIterable<Buffer>) };
}

async function countLines(bytes: AsyncIterable<Buffer>): Promise<number> {
  let count = 0;
  for await (const chunk of bytes)
    for (let at = chunk.indexOf(newline); at >= 0; at = chunk.indexOf(newline, at + 1)) count++;
  return count;
}

async function offsetOfLine(file: string, line: number): Promise<number> {
  let left = line;
  let offset = 0;
  for await (const chunk of fileBytes(file)) {
    for (let at = 0; at < chunk.length; at++) {
      if (left === 0) return offset + at;
      if (chunk[at] === newline) left--;
    }
    offset += chunk.length;
  }
  return offset;
}
