import { lstat, opendir, stat } from "node:fs/promises";
import { basename, dirname, join, posix, resolve } from "node:path";
import {
  archiveCommandLine,
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
import type { KubeClient } from "../client.ts";
import { stoppable } from "../input.ts";
import { argument } from "./paths.ts";
import { bufferOf, exitError, noTar, type RemoteResult, Retries, runRemote } from "./remote.ts";
import { type CopyContent, CopyError, type CopyResult, type CopyToOptions } from "./types.ts";

/** How long the container may think about whether its path is a directory, milliseconds. Source: kubectl pkg/cmd/cp/cp.go */
const lookPatience = 30_000;

/** What is sent: it can be packed again where it comes from files. */
interface Source {
  /** The last part of its path; "." for what is in a directory. */
  base: string;
  /** Bytes of content. */
  total: number;
  hasHoles: boolean;
  repeatable: boolean;
  /** An archive in which the tree is called `as`, without its first entries. */
  pack(options: { as: string; sparse: boolean; skip: number; count: Counter }): AsyncGenerator<Buffer>;
}

interface Counter extends CopyResult {
  /** The archive's end was handed over. */
  ended: boolean;
  /** Which entries this archive has, in its order. */
  entries: number[];
  /** One of them has a newline in its name. */
  odd: boolean;
  /** Files that were not what they had been. */
  changed: string[];
}

/** See `copyTo`. */
export async function upload(client: KubeClient, options: CopyToOptions): Promise<CopyResult> {
  const source =
    typeof options.from === "string" ? await fileSource(options.from, options) : contentSource(options.from, options);
  const target = await targetOf(client, options, source.base);
  const retries = new Retries(options);
  // Holes are only for those who know them; and a stream cannot be sent once more where there is no tar.
  const tar = source.hasHoles || !source.repeatable ? await lookAtTar(client, options) : undefined;
  const sparse = tar === "gnu";
  let way: "tar" | "runtime" = tar === "missing" ? "runtime" : "tar";
  let skip = 0;
  for (;;) {
    const count: Counter = {
      files: 0,
      directories: 0,
      links: 0,
      skipped: 0,
      bytes: 0,
      ended: false,
      entries: [],
      odd: false,
      changed: [],
    };
    const acknowledged = countLines();
    try {
      const native = way === "runtime";
      const archive = source.pack({ as: target.base, sparse: sparse || native, skip, count });
      const command = native
        ? archiveCommandLine({
            verb: "extract",
            path: target.directory,
            name: target.base,
            preserve: options.preserve ?? true,
          })
        : extractCommand(options, target.directory, retries.any);
      const result = await runRemote(client, options, command, { stdin: archive, stdout: acknowledged.take });
      if (result.missing && way === "tar" && source.repeatable) {
        way = "runtime";
        continue;
      }
      if (result.missing) throw noTar(options);
      return conclude(options, count, result);
    } catch (error) {
      if (!source.repeatable) throw error;
      await retries.next(error, 0);
      // tar names an entry when it begins with it: the last one named may be half there, and is sent again. GNU's tar quotes
      // newlines, others do not: then the lines say nothing.
      if (way === "tar" && !count.odd) skip = Math.max(skip, count.entries[acknowledged.lines() - 1] ?? 0);
    }
  }
}

function conclude({ onWarning }: CopyToOptions, count: Counter, { exitCode, words }: RemoteResult): CopyResult {
  for (const line of words) onWarning?.(line);
  if (exitCode !== 0) throw exitError(exitCode);
  if (!count.ended) throw new CopyError("truncated", "tar ended before the whole archive was sent");
  const { files, directories, links, skipped, bytes, changed } = count;
  if (changed.length > 0)
    throw new CopyError("changed", `changed while they were copied: ${changed.slice(0, 10).join(", ")}`);
  return { files, directories, links, skipped, bytes };
}

function extractCommand({ preserve = true }: CopyToOptions, directory: string, named: boolean): string[] {
  const v = named ? "v" : "";
  const words = preserve
    ? ["tar", `-xp${v}f`, "-"]
    : ["tar", "--no-same-permissions", "--no-same-owner", `-xm${v}f`, "-"];
  return [...words, "-C", argument(directory)];
}

/** Where tar is to unpack, and under which name: in the path where that is a directory, as the path otherwise. */
async function targetOf(
  client: KubeClient,
  options: CopyToOptions,
  base: string,
): Promise<{ directory: string; base: string }> {
  const path = posix.normalize(options.path).replace(/(?<=.)\/+$/, "");
  const late = AbortSignal.timeout(lookPatience);
  const signal = options.signal ? AbortSignal.any([options.signal, late]) : late;
  let { exitCode, missing } = await runRemote(client, options, ["test", "-d", path], { signal });
  if (missing) {
    const look = archiveCommandLine({ verb: "is-directory", path });
    ({ exitCode, missing } = await runRemote(client, options, look, { signal }));
  }
  if (exitCode === 0) return { directory: path, base };
  return { directory: posix.dirname(path), base: posix.basename(path) };
}

async function lookAtTar(client: KubeClient, options: CopyToOptions): Promise<"gnu" | "other" | "missing"> {
  const parts: Buffer[] = [];
  const stdout = async (chunk: Buffer) => {
    if (parts.length < 16) parts.push(Buffer.from(chunk.subarray(0, 1024)));
  };
  const { missing } = await runRemote(client, options, ["tar", "--version"], { stdout });
  if (missing) return "missing";
  return Buffer.concat(parts).includes("GNU tar") ? "gnu" : "other";
}

/** Whole lines of a tar's `-v`. */
function countLines(): { take(chunk: Buffer): Promise<void>; lines(): number } {
  let lines = 0;
  return {
    async take(chunk) {
      for (let here = chunk.indexOf(0x0a); here >= 0; here = chunk.indexOf(0x0a, here + 1)) lines++;
    },
    lines: () => lines,
  };
}

async function fileSource(path: string, { onProgress, onWarning, retries }: CopyToOptions): Promise<Source> {
  await stat(path).catch((cause: unknown) => {
    if (!hasCode(cause, "ENOENT", "ENOTDIR")) throw cause;
    throw new CopyError("not-found", `${path} doesn't exist in local filesystem`, { cause });
  });
  const contentsOnly = /(^|\/)\.\/*$/.test(path) && (await lstat(path)).isDirectory();
  const whole = resolve(path);
  const parent = localDirectory(byteString(dirname(whole)));
  const name = byteString(basename(whole) || ".");
  const scan = { total: 0, hasHoles: false };
  await look(whole, scan);
  return {
    base: contentsOnly ? "." : basename(whole) || ".",
    ...scan,
    repeatable: true,
    async *pack({ as, sparse, skip, count }) {
      let done = 0;
      let current = { name: "", size: 0, sent: 0, begun: true };
      const begin = ({ index, name, type, size, again }: PackedEntry) => {
        done += current.size;
        current = { name: shown(name), size, sent: 0, begun: false };
        if (retries) count.entries.push(index);
        count.odd ||= name.includes("\n");
        if (!again) count[type === "5" ? "directories" : type === "0" ? "files" : "links"]++;
      };
      const warn = (line: string) => {
        count.skipped++;
        onWarning?.(line);
      };
      const onChanged = (what: string) => count.changed.push(what);
      const options = {
        files: localFiles,
        parent,
        name,
        as: byteString(as),
        sparse,
        skip,
        contentsOnly,
        directoriesTwice: true,
        onChanged,
      };
      for await (const chunk of packTree({ ...options, onEntry: begin, onWarning: warn })) {
        count.ended = chunk === endOfArchive;
        yield chunk;
        if (current.begun) current.sent += chunk.length;
        current.begun = true; // the first chunk is the header
        count.bytes = done + Math.min(current.size, current.sent);
        onProgress?.({ bytes: count.bytes, total: scan.total, name: current.name });
      }
    },
  };
}

/** How much there is, and whether some of it is holes. What goes away meanwhile is not counted. */
async function look(path: string, scan: { total: number; hasHoles: boolean }): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found?.isFile()) {
    scan.total += found.size;
    if (found.blocks * 512 < found.size) scan.hasHoles = true;
  }
  if (!found?.isDirectory()) return;
  for await (const { name } of await opendir(path)) await look(join(path, name), scan);
}

function contentSource(
  { content, size, name, mode = 0o644, mtime }: CopyContent,
  { onProgress }: CopyToOptions,
): Source {
  const wrong = (what: string) =>
    new CopyError("kind", `the content is ${what} than the ${size} bytes that were announced`);
  return {
    base: posix.basename(name),
    total: size,
    hasHoles: false,
    repeatable: false,
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
