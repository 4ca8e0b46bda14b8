import { createReadStream } from "node:fs";
import { readdir } from "node:fs/promises";
import path from "node:path";
import { createGunzip } from "node:zlib";
import { tailOffset } from "./tail.ts";

const newline = 0x0a;

/** The rotated files of a log, oldest first: `0.log.20260102-150405`, packed ones ending in `.gz`. */
export async function rotatedFiles(logFile: string): Promise<string[]> {
  const folder = path.dirname(logFile);
  const prefix = `${path.basename(logFile)}.`;
  const names = await readdir(folder).catch(() => []);
  return names
    .filter((name) => name.startsWith(prefix) && /^\d{8}-\d{6}(\.\d+)?(\.gz)?$/.test(name.slice(prefix.length)))
    .sort()
    .map((name) => path.join(folder, name));
}

/** The bytes of a log file from an offset on, unpacked. For a packed file the offset is one of the unpacked bytes. */
export async function* fileBytes(file: string, offset = 0): AsyncGenerator<Buffer> {
  if (!file.endsWith(".gz")) {
    yield* createReadStream(file, { start: offset }) as AsyncIterable<Buffer>;
    return;
  }
  let skip = offset;
  const packed = createReadStream(file);
  const unpacked = createGunzip();
  packed.on("error", (error) => unpacked.destroy(error));
  try {
    for await (const chunk of packed.pipe(unpacked) as AsyncIterable<Buffer>) {
      if (skip < chunk.length) yield chunk.subarray(skip);
      skip = Math.max(0, skip - chunk.length);
    }
  } finally {
    packed.destroy();
  }
}

/** Where the last `lines` lines begin, and how many there are of them. */
export async function tailStart(file: string, lines: number): Promise<{ offset: number; lines: number }> {
  if (file.endsWith(".gz")) {
    const total = await countLines(file);
    const skip = Math.max(0, total - lines);
    return { offset: await offsetOfLine(file, skip), lines: total - skip };
  }
  const offset = await tailOffset(file, lines);
  return { offset, lines: offset > 0 ? lines : await countLines(file) };
}

async function countLines(file: string): Promise<number> {
  let count = 0;
  for await (const chunk of fileBytes(file)) for (const byte of chunk) if (byte === newline) count++;
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
