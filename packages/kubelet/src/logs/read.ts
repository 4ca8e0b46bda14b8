import { watch } from "node:fs";
import { type FileHandle, open, stat } from "node:fs/promises";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileBytes, rotatedFiles, tailStart } from "./files.ts";
import { type LogLine, parseLogLine } from "./line.ts";

const newline = 0x0a;
const blockBytes = 64 * 1024;
/** Bytes of one line that are kept while its end is awaited; runtimes break lines at 16 KiB. A longer one is skipped. */
const maxLineBytes = 1024 * 1024;
/** A follower looks at its file at least this often, milliseconds. */
const lookPeriod = 1000;

export interface ReadOptions {
  /** `…/<container>/<restart>.log` */
  logFile: string;
  tailLines?: number | undefined;
  /** Milliseconds since 1970: older lines are left out. */
  since?: number | undefined;
  /** Goes on at the end of the file as long as this says the container runs. */
  follow?: (() => boolean) | undefined;
  signal: AbortSignal;
}

/**
 * A container's log, line by line, in batches: its rotated files first, oldest first, then the current one. A follower
 * notices a rotation and goes on in the new file without a gap. Ends on abort.
 */
export async function* readLog(options: ReadOptions): AsyncGenerator<LogLine[]> {
  const { logFile, tailLines, since, signal } = options;
  const lines = new LineSplitter();
  const parse = (chunk: Buffer) => {
    const parsed = lines.push(chunk).flatMap((line) => parseLogLine(line) ?? []);
    return since === undefined ? parsed : parsed.filter(({ time }) => Date.parse(time) >= since);
  };

  const { rotated, current, offset } = await startOf(logFile, tailLines);
  try {
    for (const { file, from } of rotated) {
      for await (const chunk of fileBytes(file, from)) {
        if (signal.aborted) return;
        yield parse(chunk);
      }
    }
    if (current) for await (const chunk of follow(options, current, offset)) yield parse(chunk);
    const rest = lines.rest();
    const last = rest && parseLogLine(rest);
    // A line without its end: the process died, or the runtime has not written all of it.
    if (last && !(since !== undefined && Date.parse(last.time) < since))
      yield [{ ...last, content: trimmed(last.content) }];
  } finally {
    await current?.close();
  }
}

interface Start {
  rotated: { file: string; from: number }[];
  current: FileHandle | undefined;
  offset: number;
}

/** Opens the current file, and finds where the wanted lines begin. */
async function startOf(logFile: string, tailLines: number | undefined): Promise<Start> {
  const current = await open(logFile).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
    return undefined;
  });
  const files = await rotatedFiles(logFile);
  if (tailLines === undefined) return { rotated: files.map((file) => ({ file, from: 0 })), current, offset: 0 };
  const start = current ? await tailStart(logFile, tailLines) : { offset: 0, lines: 0 };
  const rotated: Start["rotated"] = [];
  let missing = tailLines - start.lines;
  for (const file of files.toReversed()) {
    if (missing <= 0) break;
    const { offset, lines } = await tailStart(file, missing);
    rotated.unshift({ file, from: offset });
    missing -= lines;
  }
  return { rotated, current, offset: start.offset };
}

async function* follow(
  { logFile, follow: runs, signal }: ReadOptions,
  first: FileHandle,
  offset: number,
): AsyncGenerator<Buffer> {
  using changes = watchFolder(path.dirname(logFile), signal);
  let file = first;
  let at = offset;
  try {
    for (;;) {
      // Asked before the read: what was written before the end is read after it.
      const mayGrow = runs?.() ?? false;
      const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(blockBytes), 0, blockBytes, at);
      if (signal.aborted) return;
      if (bytesRead > 0) {
        at += bytesRead;
        yield buffer.subarray(0, bytesRead);
        continue;
      }
      const next = await replaced(logFile, file);
      if (next) {
        if (file !== first) await file.close();
        file = next;
        at = 0;
        continue;
      }
      if (!mayGrow) return;
      await changes.next();
    }
  } finally {
    if (file !== first) await file.close();
  }
}

/** The file that now has the log's name, when it is another one than ours. Ours then has had its last byte read. */
async function replaced(logFile: string, file: FileHandle): Promise<FileHandle | undefined> {
  const [ours, now] = await Promise.all([file.stat(), stat(logFile).catch(() => undefined)]);
  if (!now || now.ino === ours.ino) return undefined;
  if (ours.size > 0 && (await file.stat()).size !== ours.size) return undefined; // still growing: read on first
  return open(logFile).catch(() => undefined);
}

/** Tells of changes in a folder, and of the passing of a second. */
function watchFolder(folder: string, signal: AbortSignal): Disposable & { next(): Promise<void> } {
  let changed = Promise.withResolvers<void>();
  const tell = () => changed.resolve();
  const watcher = watch(folder, tell);
  watcher.on("error", tell); // the folder is gone: the next look finds out
  signal.addEventListener("abort", tell, { once: true });
  return {
    async next() {
      const timer = new AbortController();
      await Promise.race([
        changed.promise,
        delay(lookPeriod, undefined, { signal: timer.signal }).catch(() => undefined),
      ]);
      timer.abort();
      if (!signal.aborted) changed = Promise.withResolvers<void>();
    },
    [Symbol.dispose]() {
      signal.removeEventListener("abort", tell);
      watcher.close();
    },
  };
}

/** Cuts bytes into lines, each with its newline. */
class LineSplitter {
  #parts: Buffer[] = [];
  #length = 0;

  push(chunk: Buffer): Buffer[] {
    const lines: Buffer[] = [];
    let from = 0;
    for (let at = chunk.indexOf(newline); at >= 0; at = chunk.indexOf(newline, from)) {
      const end = chunk.subarray(from, at + 1);
      if (this.#length <= maxLineBytes) lines.push(this.#parts.length > 0 ? Buffer.concat([...this.#parts, end]) : end);
      this.#parts = [];
      this.#length = 0;
      from = at + 1;
    }
    this.#length += chunk.length - from;
    if (this.#length > maxLineBytes) this.#parts = [];
    else if (from < chunk.length) this.#parts.push(chunk.subarray(from));
    return lines;
  }

  /** What came after the last newline. */
  rest(): Buffer | undefined {
    return this.#parts.length > 0 ? Buffer.concat(this.#parts) : undefined;
  }
}

function trimmed(content: Buffer): Buffer {
  return content.at(-1) === newline ? content.subarray(0, -1) : content;
}
