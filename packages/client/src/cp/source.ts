import { lstat, opendir, stat } from "node:fs/promises";
import { basename, dirname, join, posix, resolve } from "node:path";
import {
  byteString,
  contentHead,
  endOfArchive,
  hasCode,
  localDirectory,
  localFiles,
  type PackedEntry,
  packTree,
  padding,
  shown,
} from "@hawser/tar";
import { stoppable } from "../input.ts";
import { bufferOf, changedError, changedWhile } from "./remote.ts";
import { type CopyContent, CopyError, type CopyResult, type CopyToOptions, specialFile } from "./types.ts";

/** What is sent: it can be packed again where it comes from files. */
export interface Source {
  /** The last part of its path; "." for what is in a directory. */
  base: string;
  /** Bytes of content. */
  total: number;
  hasHoles: boolean;
  /** Some of its names are more than one line. */
  hasNewlines: boolean;
  repeatable: boolean;
  /** One file, and no tree or link. */
  single: boolean;
  /** An archive in which the tree is called `as`. `from` is where an earlier one was lost. */
  pack(options: PackRequest): AsyncGenerator<Buffer>;
  /** The local path of a file that has a name in the archive. */
  pathOf(name: string, as: string): string;
}

export interface PackRequest {
  as: string;
  /** What people are told it is called; `as` where absent. */
  title?: string | undefined;
  sparse: boolean;
  /** Entries before this one are left out, directories excepted. */
  from?: SentEntry | undefined;
  count: Counter;
}

/** An entry of an archive on its way. */
export interface SentEntry extends Pick<PackedEntry, "index" | "name" | "type" | "size"> {
  /** Bytes of content before it. */
  before: number;
  /** Stands for all the entries before it: their names, sizes and times. */
  mark: number;
}

/** What has been sent. */
export interface Counter extends CopyResult {
  /** The archive's end was handed over. */
  ended: boolean;
  /** This archive's entries in their order, where it may have to be sent again. */
  entries: SentEntry[];
  /** Files that were not what they had been. */
  changed: string[];
}

export function newCounter(): Counter {
  return { files: 0, directories: 0, links: 0, skipped: 0, bytes: 0, ended: false, entries: [], changed: [] };
}

export async function fileSource(path: string, { onProgress, onWarning, retries }: CopyToOptions): Promise<Source> {
  await stat(path).catch((cause: unknown) => {
    if (!hasCode(cause, "ENOENT", "ENOTDIR")) throw cause;
    throw new CopyError("not-found", `${path} doesn't exist in local filesystem`, { cause });
  });
  const own = await lstat(path);
  if (!own.isFile() && !own.isDirectory() && !own.isSymbolicLink()) throw specialFile(path);
  const contentsOnly = /(^|\/)\.\/*$/.test(path) && own.isDirectory();
  const whole = resolve(path);
  const parent = localDirectory(byteString(dirname(whole)));
  const name = byteString(basename(whole) || ".");
  const scan = { total: 0, hasHoles: false, hasNewlines: false };
  await look(whole, scan);
  return {
    base: contentsOnly ? "." : basename(whole) || ".",
    ...scan,
    repeatable: true,
    single: own.isFile(),
    pathOf: (entry, as) => join(whole, shown(entry).slice(as.length)),
    async *pack({ as, title = as, sparse, from, count }) {
      let done = 0;
      let mark = 0;
      let current = { name: "", size: 0, sent: 0, begun: true };
      const begin = ({ index, name, type, size, mtime, again, left }: PackedEntry) => {
        done += current.size;
        current = { name: title + shown(name).slice(as.length), size, sent: 0, begun: left };
        if (index === from?.index && from.mark >= 0 && mark !== from.mark) {
          throw changedError();
        }
        if (retries && !left) count.entries.push({ index, name, type, size, before: done, mark });
        mark = marked(mark, `${name}\0${type === "5" ? "" : `${size}\0${mtime}`}`);
        if (!again) count[type === "5" ? "directories" : type === "0" ? "files" : "links"]++;
      };
      const tree = packTree({
        files: localFiles,
        parent,
        name,
        as: byteString(as),
        sparse,
        skip: from?.index ?? 0,
        contentsOnly,
        directoriesTwice: true,
        onEntry: begin,
        onWarning(line) {
          count.skipped++;
          onWarning?.(line);
        },
        onChanged(what) {
          // Of one file nothing may arrive then: an archive that breaks off here is none. In a tree the others are worth something.
          if (own.isFile()) throw changedWhile([path]);
          count.changed.push(what);
        },
      });
      for await (const chunk of tree) {
        count.ended = chunk === endOfArchive;
        yield chunk;
        if (current.begun) current.sent += chunk.length;
        current.begun = true; // the first chunk is the header
        count.bytes = done + (count.ended ? current.size : Math.min(current.size, current.sent));
        onProgress?.({ bytes: count.bytes, total: scan.total, name: current.name });
      }
    },
  };
}

/** FNV-1a, 32 bits: two trees that differ have different marks but once in four billion. */
function marked(mark: number, text: string): number {
  let hash = mark ^ 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

/** How much there is, whether some of it is holes, and how it is called. What goes away meanwhile is not counted. */
async function look(path: string, scan: Pick<Source, "total" | "hasHoles" | "hasNewlines">): Promise<void> {
  if (basename(path).includes("\n")) scan.hasNewlines = true;
  const found = await lstat(path).catch(() => undefined);
  if (found?.isFile()) {
    scan.total += found.size;
    if (found.blocks * 512 < found.size) scan.hasHoles = true;
  }
  if (!found?.isDirectory()) return;
  for await (const { name } of await opendir(path)) await look(join(path, name), scan);
}

export function contentSource(
  { content, size, name, mode = 0o644, mtime }: CopyContent,
  { onProgress }: CopyToOptions,
): Source {
  const wrong = (what: string) =>
    new CopyError("kind", `the content is ${what} than the ${size} bytes that were announced`);
  return {
    base: posix.basename(name),
    total: size,
    hasHoles: false,
    hasNewlines: false,
    repeatable: false,
    single: true,
    pathOf: () => "",
    async *pack({ as, count }) {
      const seconds = Math.floor(mtime ?? Date.now() / 1000);
      count.files = 1;
      yield Buffer.concat(contentHead({ as: byteString(as), size, mode, mtime: seconds }));
      const { source, stop } = stoppable(content);
      try {
        for await (const chunk of source) {
          if (count.bytes + chunk.length > size) throw wrong("longer");
          yield bufferOf(chunk);
          count.bytes += chunk.length;
          onProgress?.({ bytes: count.bytes, total: size, name });
        }
      } finally {
        stop();
      }
      if (count.bytes < size) throw wrong("shorter");
      yield padding(size);
      count.ended = true;
      yield endOfArchive;
    },
  };
}
