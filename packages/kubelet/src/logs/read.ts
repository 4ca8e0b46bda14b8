import { watch } from "node:fs";
import { type FileHandle, stat } from "node:fs/promises";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { currentTail, fileBytes, type LogFiles, logFiles, tailStart, unpacked } from "./files.ts";
import { type LogLine, parseLogLine } from "./line.ts";

const newline = 0x0a;
const blockBytes = 64 * 1024;
/** Bytes of one line that are kept while its end is awaited; runtimes break lines at 16 KiB. A longer one is skipped. */
const maxLineBytes = 1024 * 1024;
/** A follower looks at its file at least this often, milliseconds. */
const lookPeriod = 1000;
/** A runtime may write lines it held to the old file, though it has opened a new one: how long they are awaited, milliseconds. */
const lateLineMs = 200;

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
 * A container's log, line by line, in batches: its rotated files first, oldest first, then the current one. A follower goes
 * along with rotations, as many as there are while it is slow, as long as the files are there. Ends on abort.
 */
export async function* readLog(options: ReadOptions): AsyncGenerator<LogLine[]> {
  const { logFile, tailLines, since, signal } = options;
  const lines = new LineSplitter();
  const parse = (chunk: Buffer) => {
    const parsed = lines.push(chunk).flatMap((line) => parseLogLine(line) ?? []);
    return since === undefined ? parsed : parsed.filter(({ time }) => Date.parse(time) >= since);
  };
  const files = await logFiles(logFile);
  try {
    const { rotated, offset } = await startOf(files, tailLines);
    for (const { file, from } of rotated) {
      for await (const chunk of fileBytes(file, from)) {
        if (signal.aborted) return;
        yield parse(chunk);
      }
    }
    for await (const chunk of follow(options, files, offset)) yield parse(chunk);
    const rest = lines.rest();
    const last = rest && parseLogLine(rest);
    // A line without its end: the process died, or the runtime has not written all of it.
    if (last && !(since !== undefined && Date.parse(last.time) < since))
      yield [{ ...last, content: trimmed(last.content) }];
  } finally {
    await files.current?.close();
  }
}

interface Start {
  rotated: { file: string; from: number }[];
  offset: number;
}

/** Where the wanted lines begin. */
async function startOf({ rotated: files, current }: LogFiles, tailLines: number | undefined): Promise<Start> {
  if (tailLines === undefined) return { rotated: files.map((file) => ({ file, from: 0 })), offset: 0 };
  const start = current ? await currentTail(current, tailLines) : { offset: 0, lines: 0 };
  const rotated: Start["rotated"] = [];
  let missing = tailLines - start.lines;
  for (const file of files.toReversed()) {
    if (missing <= 0) break;
    const { offset, lines } = await tailStart(file, missing);
    rotated.unshift({ file, from: offset });
    missing -= lines;
  }
  return { rotated, offset: start.offset };
}

/** The current file from an offset on, and those that take its place. `files.current` is always the one that is read. */
async function* follow(
  { logFile, follow: runs, signal }: ReadOptions,
  files: LogFiles,
  offset: number,
): AsyncGenerator<Buffer> {
  using changes = runs && watchFolder(path.dirname(logFile), signal);
  let at = offset;
  let movedAt: number | undefined;
  while (!signal.aborted) {
    // Asked before the read: what was written before the end is read after it.
    const mayGrow = runs?.() ?? false;
    const { current } = files;
    const block = await current?.read(Buffer.allocUnsafe(blockBytes), 0, blockBytes, at);
    if (signal.aborted) return;
    if (block && block.bytesRead > 0) {
      at += block.bytesRead;
      yield block.buffer.subarray(0, block.bytesRead);
      continue;
    }
    if (!(await hasMoved(logFile, current))) {
      if (!mayGrow) return;
      await changes?.next(lookPeriod);
      continue;
    }
    movedAt ??= performance.now();
    const left = movedAt + lateLineMs - performance.now();
    if (current && left > 0) {
      await (changes?.next(left) ?? delay(left, undefined, { signal }).catch(() => undefined));
      continue;
    }
    const between = await advance(logFile, files);
    for (const file of between) {
      for await (const chunk of fileBytes(file)) {
        if (signal.aborted) return;
        yield chunk;
      }
    }
    at = 0;
    movedAt = undefined;
  }
}

/** Whether another file than ours has the log's name: while none has, ours is still the one written to. */
async function hasMoved(logFile: string, ours: FileHandle | undefined): Promise<boolean> {
  const now = await stat(logFile).catch(() => undefined);
  return now !== undefined && now.ino !== (await ours?.stat())?.ino;
}

/** Goes on to the file that is current now. Returns those that were rotated away since ours was: a reader may be slow. */
async function advance(logFile: string, files: LogFiles): Promise<string[]> {
  const { rotated, current } = files;
  const seen = unpacked(rotated.at(-1) ?? "");
  const next = await logFiles(logFile);
  const newer = next.rotated.filter((file) => unpacked(file) > seen);
  // The first of them is ours under its new name.
  const ours = (await current?.stat())?.ino;
  const inodes = await Promise.all(
    newer.map((file) =>
      stat(file).then(
        ({ ino }) => ino,
        () => undefined,
      ),
    ),
  );
  const mine = ours === undefined ? -1 : Math.max(0, inodes.indexOf(ours));
  await current?.close();
  files.current = next.current;
  files.rotated = next.rotated;
  return newer.slice(mine + 1);
}

/** Tells of changes in a folder, and of the passing of some time. */
function watchFolder(folder: string, signal: AbortSignal): Disposable & { next(ms: number): Promise<void> } {
  let changed = Promise.withResolvers<void>();
  const tell = () => changed.resolve();
  const watcher = watch(folder, tell);
  watcher.on("error", tell); // the folder is gone: the next look finds out
  signal.addEventListener("abort", tell, { once: true });
  return {
    async next(ms) {
      const timer = new AbortController();
      await Promise.race([changed.promise, delay(ms, undefined, { signal: timer.signal }).catch(() => undefined)]);
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
