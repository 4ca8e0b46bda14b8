import { mkdir, realpath, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import {
  byteString,
  hasCode,
  localDirectory,
  localFiles,
  shown,
  type TarEntry,
  type TarEvent,
  type Unpacked,
  Unpacker,
} from "@hawser/tar";
import { type Output, outputWriter } from "../output.ts";
import { CopyError, type CopyFromOptions, specialFile } from "./types.ts";

/** The entries that are devices and pipes. */
const special: ReadonlySet<string> = new Set(["3", "4", "6"]);

/** What was asked for is itself a link, to this place (as the container has it). */
export class RootLink extends Error {
  readonly target: string;

  constructor(target: string) {
    super(`a link to ${target}`);
    this.target = target;
  }
}

/** Where an archive goes. It is told of each event, in order. */
export interface Destination {
  /** Whether it has turned out to be one file, which takes its place at `finish`. */
  readonly isOneFile: boolean;
  take(event: TarEvent): Promise<void>;
  finish(): Promise<Unpacked>;
  abort(): Promise<void>;
}

export interface DestinationOptions extends Pick<CopyFromOptions, "to" | "preserve" | "onProgress" | "onWarning"> {
  /** The last part of the path that is copied, which is the tree's name in the archive. */
  base: string;
}

/**
 * Files, made when the archive's first entry says what is copied. A file goes into `to` where that is a directory, a directory
 * becomes `to`. A destination that is neither (/dev/stdout, a pipe) is written to, as a stream is.
 *
 * Throws RootLink from `take` when what is copied is a link, and CopyError `kind` when it is a special file.
 */
export async function openDestination(options: DestinationOptions): Promise<Destination> {
  const { to, base } = options;
  if (typeof to !== "string") return contentDestination(to, options);
  const there = await stat(to).catch((error: unknown) => {
    if (hasCode(error, "ENOENT")) return undefined;
    throw error;
  });
  if (there && !there.isFile() && !there.isDirectory()) return await specialDestination(to, options);
  let unpacker: Unpacker | undefined;
  let total: number | undefined;
  let bytes = 0;
  let name = base;
  let isOneFile = false;
  const begin = async ({ header }: TarEntry): Promise<Unpacker> => {
    const isRoot = depthOf(header.name) === depthOf(base);
    if (isRoot && header.type === "2") throw new RootLink(shown(header.linkname));
    if (isRoot && special.has(header.type)) throw specialFile(shown(header.name));
    const isDirectory = !isRoot || header.type === "5";
    isOneFile = isRoot && header.type === "0";
    if (isOneFile) total = header.size;
    const place = await placeOf(there?.isDirectory() && !isDirectory ? join(to, base) : to);
    const preserve = options.preserve ?? true;
    return new Unpacker({
      files: localFiles,
      parent: localDirectory(byteString(place.parent)),
      name: byteString(place.name),
      root: byteString(base),
      preserve: { mode: preserve, times: preserve, owner: preserve && process.getuid?.() === 0 },
      onEntry: (entry) => {
        name = entry.name;
      },
      ...(options.onWarning && { onWarning: options.onWarning }),
    });
  };
  return {
    get isOneFile() {
      return isOneFile;
    },
    async take(event) {
      if (event.type === "entry") unpacker ??= await begin(event.entry);
      await unpacker?.take(event);
      if (event.type === "data") bytes += event.bytes.length;
      options.onProgress?.({ bytes, total, name });
    },
    async finish() {
      if (!unpacker) throw new CopyError("truncated", "the archive is empty: unexpected EOF");
      return await unpacker.finish();
    },
    abort: async () => await unpacker?.abort(),
  };
}

/** The directory a path is in, with its own links followed and made where it is missing, and its name there. */
async function placeOf(path: string): Promise<{ parent: string; name: string }> {
  const whole = resolve(path);
  const followed = await realpath(whole).catch((error: unknown) => {
    if (hasCode(error, "ENOENT")) return undefined;
    throw error;
  });
  if (followed) return { parent: dirname(followed), name: basename(followed) || "." };
  await mkdir(dirname(whole), { recursive: true });
  return { parent: await realpath(dirname(whole)), name: basename(whole) };
}

async function specialDestination(path: string, options: DestinationOptions): Promise<Destination> {
  const { createWriteStream } = await import("node:fs");
  const stream = createWriteStream(path, { flags: "w" });
  const inner = contentDestination(stream, options);
  return {
    ...inner,
    async finish() {
      const result = await inner.finish();
      const closed = new Promise<void>((done, failed) => stream.once("error", failed).once("close", done));
      stream.end();
      await closed;
      return result;
    },
    async abort() {
      await inner.abort();
      stream.destroy();
    },
  };
}

/** The content of exactly one file. */
function contentDestination(output: Output, { base, onProgress }: DestinationOptions): Destination {
  const writer = outputWriter(output);
  let total: number | undefined;
  let bytes = 0;
  return {
    isOneFile: false, // what was written is written
    async take(event) {
      if (event.type === "entry") {
        const { type, name, linkname, size } = event.entry.header;
        if (total === undefined && type === "2") throw new RootLink(shown(linkname));
        const isOne = total === undefined && type === "0" && depthOf(name) === depthOf(base);
        if (!isOne) throw new CopyError("kind", `${base} is not a single file: it has no content for a stream`);
        total = size;
      } else {
        // A view on what the decoder holds: the output may keep it.
        await writer.write(new Uint8Array(event.bytes));
        bytes += event.bytes.length;
      }
      onProgress?.({ bytes, total, name: base });
    },
    async finish() {
      writer.release();
      if (total === undefined) throw new CopyError("truncated", "the archive is empty: unexpected EOF");
      return { files: 1, directories: 0, links: 0, skipped: 0, bytes };
    },
    abort: async () => writer.release(),
  };
}

function depthOf(name: string): number {
  return name.split("/").filter((part) => part !== "" && part !== ".").length;
}
