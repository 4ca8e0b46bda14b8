import { posix } from "node:path";
import { archiveCommandLine, byteString, contentHead, endOfArchive, shown } from "@hawser/tar";
import type { KubeClient } from "../client.ts";
import { type Beside, besideOf, lookScript, vacantScript } from "./beside.ts";
import { mergeCommand, removeHalf } from "./merge.ts";
import { argument } from "./paths.ts";
import { changedWhile, exitError, noTar, type RemoteResult, Retries, runRemote } from "./remote.ts";
import { resumeFile } from "./resume-file.ts";
import { type Counter, contentSource, fileSource, newCounter, type SentEntry } from "./source.ts";
import { CopyError, type CopyResult, type CopyToOptions } from "./types.ts";

/** How long the container may think about whether its path is a directory, milliseconds. Source: kubectl pkg/cmd/cp/cp.go */
const lookPatience = 30_000;

/** See `copyTo`. */
export async function upload(client: KubeClient, options: CopyToOptions): Promise<CopyResult> {
  const source =
    typeof options.from === "string" ? await fileSource(options.from, options) : contentSource(options.from, options);
  const target = await targetOf(client, options, source.base);
  const retries = new Retries(options);
  // Holes are only for those who know them; and a stream cannot be sent once more where there is no tar.
  const look = source.hasHoles || !source.repeatable ? await lookAtContainer(client, options) : undefined;
  const sparse = look?.tar === "gnu";
  const isNew = source.single || (await isVacant(client, options, target));
  let way = look?.way ?? "beside";
  if (way === "beside" && !isNew) way = retries.any || source.hasNewlines || /\n/.test(target.base) ? "tar" : "merge";
  const beside = besideOf(target);
  /** What an entry is called in the end. */
  const titleOf = (name: string) =>
    target.base + shown(name).slice((way === "beside" ? beside.name : target.base).length);
  let from: SentEntry | undefined;
  /** Whether `from` may be half there. */
  let half = false;
  /** Of a try whose whole archive was sent. */
  let sent: Counter | undefined;
  for (;;) {
    const count = newCounter();
    const named = countLines();
    try {
      if (sent && way === "beside" && !source.single && (await beside.isPlaced(client, options))) {
        await beside.tidy(client, options);
        return conclude(options, sent, { exitCode: 0, missing: false, words: [] });
      }
      if (from && half && way !== "runtime") {
        const { name, size, before } = from;
        const resumed = await resumeFile(client, options, {
          local: source.pathOf(name, way === "beside" ? beside.name : target.base),
          remote: posix.join(target.directory, shown(name)),
          size,
          onBytes: (bytes) => options.onProgress?.({ bytes: before + bytes, total: source.total, name: titleOf(name) }),
        });
        if (resumed) from = after(from);
        half = false;
      }
      const as = way === "beside" ? beside.name : target.base;
      const packed = source.pack({ as, title: target.base, sparse: sparse || way === "runtime", from, count });
      const end = endOf(way, { isTree: !source.single, base: target.base }) ? beside.end : "";
      const command = commandOf(way, { options, target, beside, end, keep: retries.any });
      const stdin = end ? withEnd(packed, end) : packed;
      const result = await runRemote(client, options, command, { stdin, stdout: named.take });
      const next: Way | undefined = result.missing && source.repeatable ? nextWay(way) : undefined;
      if (next) {
        way = next;
        continue;
      }
      if (result.missing) throw noTar(options);
      const copied = conclude(options, count, result);
      if (way === "beside" && end && retries.any) await beside.tidy(client, options);
      return copied;
    } catch (error) {
      if (!source.repeatable) throw error;
      if (count.ended) sent = count;
      const last = way === "runtime" ? undefined : lastNamed(count, named.lines());
      if (last) {
        from = last;
        half = last.type === "0";
      }
      try {
        await retries.next(error, from?.before ?? 0);
      } catch (final) {
        if (way === "beside" && retries.any) await beside.tidy(client, options);
        if (way === "tar" && retries.any && from?.type === "0") {
          const path = posix.join(target.directory, shown(from.name));
          await removeHalf(client, options, { path, size: from.size });
        }
        throw final;
      }
    }
  }
}

/** An archive with an empty file of this name at its end. */
async function* withEnd(archive: AsyncIterable<Buffer>, name: string): AsyncGenerator<Buffer> {
  for await (const chunk of archive) {
    if (chunk === endOfArchive)
      yield Buffer.concat(contentHead({ as: byteString(name), size: 0, mode: 0o600, mtime: 0 }));
    yield chunk;
  }
}

/**
 * How it is unpacked: by tar, beside its place and moved there (a file, or a tree that is new); by tar, in its place, with or without a shell that removes
 * what is cut short; by the runtime, which does as the first.
 */
type Way = "beside" | "merge" | "tar" | "runtime";

/** What to try where a command is not there: no shell, or no mv or tail; no tar. */
function nextWay(way: Way): Way | undefined {
  return way === "beside" || way === "merge" ? "tar" : way === "tar" ? "runtime" : undefined;
}

/** Whether its archive gets an end that can be told from a cut: a tree that is to be moved, or one that has no directory there already. */
function endOf(way: Way, { isTree, base }: { isTree: boolean; base: string }): boolean {
  return (way === "beside" && isTree) || (way === "merge" && base === ".");
}

/** `end`: the name of the archive's end, where it has one. `keep`: half of it is needed for a next try, and tar names what it is at. */
function commandOf(
  way: Way,
  {
    options,
    target: { directory, base },
    beside,
    end,
    keep,
  }: { options: CopyToOptions; target: Target; beside: Beside; end: string; keep: boolean },
): string[] {
  const { preserve = true } = options;
  if (way === "runtime") return archiveCommandLine({ verb: "extract", path: directory, name: base, preserve });
  const tar = extractWords(options, keep || way === "merge");
  if (way === "beside") return beside.command(tar, { keep, isTree: end !== "" });
  return way === "merge" ? mergeCommand(tar, { directory, end }) : [...tar, "-C", argument(directory)];
}

/**
 * The entry that tar was at: it names each when it begins with it, so that all before are there. A tar that tells of its names only
 * at its end tells of none here; but where there is only one entry, that is it. GNU's tar quotes newlines, others do not: then
 * the lines say nothing.
 */
function lastNamed({ entries }: Counter, lines: number): SentEntry | undefined {
  if (entries.some(({ name }) => name.includes("\n"))) return undefined;
  if (lines > 0) return entries[lines - 1];
  return entries.length === 1 ? entries[0] : undefined;
}

/** The place behind an entry that is whole. Its mark is not known here, and need not be: the entry itself was just compared. */
function after(entry: SentEntry): SentEntry {
  return { ...entry, index: entry.index + 1, before: entry.before + entry.size, mark: -1 };
}

function conclude({ onWarning }: CopyToOptions, count: Counter, { exitCode, words }: RemoteResult): CopyResult {
  for (const line of words) onWarning?.(line);
  if (exitCode !== 0) throw exitError(exitCode);
  if (!count.ended) throw new CopyError("truncated", "tar ended before the whole archive was sent");
  const { files, directories, links, skipped, bytes, changed } = count;
  if (changed.length > 0) throw changedWhile(changed);
  return { files, directories, links, skipped, bytes };
}

/** tar's command, but for the directory. */
function extractWords({ preserve = true }: CopyToOptions, named: boolean): string[] {
  const v = named ? "v" : "";
  return preserve ? ["tar", `-xp${v}f`, "-"] : ["tar", "--no-same-permissions", "--no-same-owner", `-xm${v}f`, "-"];
}

/** The container's. */
interface Target {
  directory: string;
  base: string;
}

/** Where tar is to unpack, and under which name: in the path where that is a directory, as the path otherwise. */
async function targetOf(client: KubeClient, options: CopyToOptions, base: string): Promise<Target> {
  const path = posix.normalize(options.path).replace(/(?<=.)\/+$/, "");
  const late = AbortSignal.timeout(lookPatience);
  const signal = options.signal ? AbortSignal.any([options.signal, late]) : late;
  const ask = (command: string[]) =>
    runRemote(client, options, command, { signal }).catch((cause: unknown) => {
      if (cause !== late.reason) throw cause;
      const message = `the container has not said within ${lookPatience / 1000} s whether ${path} is a directory`;
      throw new CopyError("stuck", message, { cause });
    });
  let { exitCode, missing } = await ask(["test", "-d", path]);
  if (missing) ({ exitCode } = await ask(archiveCommandLine({ verb: "is-directory", path })));
  if (exitCode === 0) return { directory: path, base };
  return { directory: posix.dirname(path), base: posix.basename(path) };
}

/** Whether nothing stands yet where a tree goes to, so that it can appear there as a whole. One that is there is added to. */
async function isVacant(client: KubeClient, options: CopyToOptions, { directory, base }: Target): Promise<boolean> {
  if (base === "." || base === "..") return false;
  const place = argument(posix.join(directory, base));
  const { exitCode } = await runRemote(client, options, ["sh", "-c", vacantScript, "sh", place], {});
  return exitCode === 0;
}

interface Found {
  way: Way;
  tar: "gnu" | "other" | undefined;
}

/** What the container has to unpack with. */
async function lookAtContainer(client: KubeClient, options: CopyToOptions): Promise<Found> {
  const version = ["tar", "--version"];
  const looks: [Way, string[]][] = [
    ["beside", ["sh", "-c", `${lookScript}; "$@"`, "sh", ...version]],
    ["tar", version],
  ];
  for (const [way, command] of looks) {
    const parts: Buffer[] = [];
    const stdout = async (chunk: Buffer) => {
      if (parts.length < 16) parts.push(Buffer.from(chunk.subarray(0, 1024)));
    };
    const { missing } = await runRemote(client, options, command, { stdout });
    if (!missing) return { way, tar: Buffer.concat(parts).includes("GNU tar") ? "gnu" : "other" };
  }
  return { way: "runtime", tar: undefined };
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
