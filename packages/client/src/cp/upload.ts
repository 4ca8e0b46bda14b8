import { posix } from "node:path";
import { byteString, contentHead, endOfArchive, shown } from "@hawser/tar";
import type { KubeClient } from "../client.ts";
import { removeHalf } from "./merge.ts";
import { Places } from "./places.ts";
import { changedWhile, exitError, noTar, type RemoteResult, Retries, runRemote } from "./remote.ts";
import { resumeFile } from "./resume-file.ts";
import { type Counter, contentSource, fileSource, newCounter, type SentEntry } from "./source.ts";
import { targetOf } from "./target.ts";
import { CopyError, type CopyResult, type CopyToOptions } from "./types.ts";
import { commandOf, endOf, firstWay, nextWay, type Way } from "./ways.ts";

/** See `copyTo`. */
export async function upload(client: KubeClient, options: CopyToOptions): Promise<CopyResult> {
  const source =
    typeof options.from === "string" ? await fileSource(options.from, options) : contentSource(options.from, options);
  const target = await targetOf(client, options, source.base);
  const retries = new Retries(options);
  const first = await firstWay(client, options, { source, target, keep: retries.any });
  const { sparse } = first;
  let { way } = first;
  const places = new Places(client, options, target);
  /** What an entry is called in the end. */
  const titleOf = (name: string) =>
    target.base + shown(name).slice((way === "beside" ? places.current.name : target.base).length);
  let from: SentEntry | undefined;
  /** Whether `from` may be half there. */
  let half = false;
  const succeed = async (count: Counter, result: RemoteResult = { exitCode: 0, missing: false, words: [] }) => {
    const copied = conclude(options, count, result);
    if (way === "beside" && retries.any && !source.single) await places.tidy();
    return copied;
  };
  for (;;) {
    const count = newCounter();
    const named = countLines();
    try {
      if (places.isSent) {
        const earlier = await places.placed("last");
        if (earlier) return await succeed(earlier);
        places.another();
        from = undefined;
        half = false;
      }
      if (from && half && way !== "runtime") {
        const { name, size, before } = from;
        const resumed = await resumeFile(client, options, {
          local: source.pathOf(name, way === "beside" ? places.current.name : target.base),
          remote: posix.join(target.directory, shown(name)),
          size,
          onBytes: (bytes) => options.onProgress?.({ bytes: before + bytes, total: source.total, name: titleOf(name) }),
        });
        if (resumed) from = after(from);
        half = false;
      }
      const beside = places.current;
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
      const earlier = result.exitCode === 0 ? undefined : await places.placed("all"); // which may be why this one failed
      return earlier ? await succeed(earlier) : await succeed(count, result);
    } catch (error) {
      if (!source.repeatable) throw error;
      if (count.ended && way === "beside" && !source.single) places.sent(count);
      const last = way === "runtime" ? undefined : lastNamed(count, named.lines());
      if (last) {
        from = last;
        half = last.type === "0";
      }
      try {
        await retries.next(error, from?.before ?? 0);
      } catch (final) {
        if (way === "beside" && retries.any) await places.clear();
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
