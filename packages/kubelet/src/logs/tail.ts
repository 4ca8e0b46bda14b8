import type { FileHandle } from "node:fs/promises";
import { openPlainFile } from "@hawser/files";

const blockBytes = 64 * 1024;
const newline = 0x0a;

/**
 * Where the last `lines` lines of a file begin, as an offset in bytes. A piece without a newline at the end counts as a line.
 *
 * Source: kubernetes/cri-client pkg/logs/tail.go
 */
export async function tailOffset(file: string | FileHandle, lines: number): Promise<number> {
  if (typeof file === "string") {
    await using handle = await openPlainFile(file);
    return await tailOffset(handle, lines);
  }
  const handle = file;
  const { size } = await handle.stat();
  if (lines <= 0) return size;
  let found = 0;
  const block = Buffer.alloc(Math.min(blockBytes, Math.max(size, 1)));
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - block.length);
    const { bytesRead } = await handle.read(block, 0, end - start, start);
    for (let at = bytesRead - 1; at >= 0; at--) {
      // The newline that ends the file ends its last line; it does not begin another.
      if (block[at] !== newline || start + at === size - 1) continue;
      if (++found === lines) return start + at + 1;
    }
    end = start;
  }
  return 0;
}

/** The last `lines` lines, each with its newline; at most the last MiB of the file. */
export async function tailFile(file: string, lines: number): Promise<Buffer[]> {
  const from = await tailOffset(file, lines);
  await using handle = await openPlainFile(file);
  const { size } = await handle.stat();
  const start = Math.max(from, size - 1024 * 1024);
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(size - start), 0, size - start, start);
  const result: Buffer[] = [];
  let at = 0;
  while (at < bytesRead) {
    const end = buffer.indexOf(newline, at);
    const next = end < 0 || end >= bytesRead ? bytesRead : end + 1;
    result.push(buffer.subarray(at, next));
    at = next;
  }
  return result;
}
