import { type ChildProcess, spawn } from "node:child_process";
import type { Stats } from "node:fs";
import { chmod, lchown, lstat, mkdir, utimes } from "node:fs/promises";
import type { ByteSource } from "@hawser/streaming";
import { closeQuietly } from "../native/libc.ts";
import { makeWhiteout, markOpaque } from "../native/overlay-marks.ts";
import { openPipe, writable } from "../native/pipe.ts";
import { orAborted } from "../or-aborted.ts";
import { decompress } from "./compression.ts";
import { Digester } from "./digest.ts";
import { LayerFilter } from "./layer-filter.ts";
import { dirname, join, LayerError } from "./layer-paths.ts";

/** How much of tar's complaints is kept, bytes. */
const maxComplaints = 4096;
/** What tar reads, and writes, at a time: blocks of 512 bytes. Its own 20 would be thirteen times as many system calls. */
const blockingFactor = 256;
/** The pipe to tar: what it has not read while we go on, bytes. */
const pipeBytes = 1024 * 1024;

export interface StreamOptions {
  /** The layer's blob: tar, or tar in gzip or zstd. */
  source: ByteSource;
  /** An existing empty directory. */
  directory: string;
  signal: AbortSignal;
}

export interface ExtractOptions extends StreamOptions {
  /** The roots of the layers below, topmost first: directories without an entry of their own take after theirs. */
  lowers: readonly string[];
}

/** A layer whose entries are on disk. */
export interface StreamedLayer {
  /** The digest of the uncompressed tar. */
  diffID: string;
  /** What the layers below, which must be there, have a say in: directories that are only implied; whiteouts. */
  finish(lowers: readonly string[]): Promise<void>;
}

/** streamLayer and its finish at once. Resolves with the layer's diffID. */
export async function extractLayer({ lowers, ...options }: ExtractOptions): Promise<{ diffID: string }> {
  const { diffID, finish } = await streamLayer(options);
  await finish(lowers);
  return { diffID };
}

/**
 * Extracts a layer, keeping owners, modes, times, links, devices and xattrs; whiteouts become overlayfs' own when it is finished.
 * On an error `directory` is left half full: extract into a temporary one, and rename.
 * Throws LayerError, TarError, the source's or the decompressor's error, or the signal's reason.
 *
 * GNU tar does the writing. It never sees the layer's own stream but what LayerFilter makes of it, so that no entry can
 * lead out of `directory`: not by "..", not by an absolute name, not through a symbolic or hard link. (A chroot would need
 * tar and its libraries inside, and a process that blocks in our place.)
 */
export async function streamLayer({ source, directory, signal }: StreamOptions): Promise<StreamedLayer> {
  signal.throwIfAborted();
  const digester = new Digester();
  const filter = new LayerFilter();
  const tar = startTar(directory);
  const feed = async () => {
    for await (const chunk of digester.through(decompress(source, { lent: true }))) {
      signal.throwIfAborted();
      const out = filter.push(chunk);
      if (out.length > 0) await tar.write(out); // before the next: what is lent has to be with the kernel
    }
    await tar.write(filter.finish());
  };
  try {
    await orAborted(feed(), signal);
    tar.end();
    await orAborted(tar.done, signal);
  } catch (error) {
    tar.kill();
    const complaint = await tar.done.catch((failure: unknown) => failure);
    signal.throwIfAborted();
    throw isBrokenPipe(error) && complaint instanceof Error ? complaint : error;
  }
  return {
    diffID: digester.digest(),
    async finish(lowers) {
      await finishDirectories(filter, { directory, lowers });
      await placeMarks(filter, directory);
    },
  };
}

function startTar(directory: string) {
  const options = ["--numeric-owner", "--same-owner", "--same-permissions", "--delay-directory-restore"];
  const pipe = openPipe(pipeBytes);
  const stdin = writable(pipe.write);
  let child: ChildProcess;
  try {
    child = spawn(
      "tar",
      [
        "--extract",
        "--file=-",
        `--blocking-factor=${blockingFactor}`,
        ...options,
        "--xattrs",
        "--xattrs-include=*",
        "--warning=no-timestamp",
      ],
      // A UTF-8 locale: there tar takes the names in pax records byte for byte.
      { cwd: directory, stdio: [pipe.read, "ignore", "pipe"], env: { PATH: process.env.PATH, LC_ALL: "C.UTF-8" } },
    );
  } catch (error) {
    stdin.destroy();
    throw error;
  } finally {
    closeQuietly(pipe.read); // tar has a copy, or will never be there
  }
  let complaints = "";
  child.stderr?.setEncoding("utf8");
  child.stderr?.on("data", (text: string) => {
    if (complaints.length < maxComplaints) complaints += text.slice(0, maxComplaints);
  });
  const done = new Promise<void>((resolve, reject) => {
    child.on("error", (cause) => reject(new LayerError(`cannot run tar: ${cause.message}`, { cause })));
    child.on("close", (code, killedBy) => {
      stdin.destroy();
      if (code === 0) resolve();
      else reject(new LayerError(`tar failed (${killedBy ?? `exit status ${code}`}): ${firstLines(complaints)}`));
    });
  });
  done.catch(() => undefined); // whoever feeds it will ask
  stdin.on("error", () => undefined); // each write tells of its own
  const write = (bytes: Buffer) =>
    new Promise<void>((resolve, reject) => {
      stdin.write(bytes, (error) => (error ? reject(error) : resolve()));
    });
  const kill = () => {
    child.kill("SIGKILL");
    stdin.destroy();
  };
  return { write, end: () => stdin.end(), done, kill };
}

/**
 * Directories that the layer implies but does not describe get owner, mode and time from the layers below; 0755 of root
 * where those have none. Source: containerd pkg/archive/tar.go, mkparent.
 */
async function finishDirectories(
  { paths, whiteouts, opaques }: LayerFilter,
  options: Pick<ExtractOptions, "directory" | "lowers">,
): Promise<void> {
  for (const path of whiteouts) paths.need(dirname(paths.place(path)));
  for (const path of opaques) paths.need(placeOf(paths, path));
  for (const path of paths.describesRoot ? paths.implied : ["", ...paths.implied]) {
    const target = onDisk(options.directory, path);
    if (!(await lstatIfAny(target))) await mkdir(target, { mode: 0o755 });
    await mustBeDirectory(target);
    const model = await lowerDirectory(options.lowers, path);
    if (!model) continue;
    await lchown(target, model.uid, model.gid);
    await chmod(target, model.mode & 0o7777);
    await utimes(target, model.atime, model.mtime);
  }
}

/** The directory as the topmost layer below has it, if it is one there, with true directories above it. */
async function lowerDirectory(lowers: readonly string[], path: string) {
  for (const lower of lowers) {
    let found: Stats | undefined;
    for (let at = 0; at >= 0; ) {
      const next = path.indexOf("/", at + 1);
      const part = next < 0 ? path : path.slice(0, next);
      found = await lstat(onDisk(lower, part)).catch(() => undefined);
      if (!found?.isDirectory()) break;
      at = next;
    }
    if (found?.isDirectory()) return found;
    if (found) return undefined; // something else, or a whiteout: what lies further below does not show
  }
  return undefined;
}

/**
 * Whiteouts and opaque directories, once everything else is in place. A whiteout of what the layer itself has hides only
 * what is below. Their places are worked out anew, since links may have come after them, and no parent may be one.
 */
async function placeMarks({ paths, whiteouts, opaques }: LayerFilter, directory: string): Promise<void> {
  const opaque = new Set([...opaques].map((path) => placeOf(paths, path)));
  for (const mark of whiteouts) {
    const path = paths.place(mark);
    for (let parent = dirname(path); parent !== ""; parent = dirname(parent)) {
      await mustBeDirectory(onDisk(directory, parent));
    }
    const own = await lstatIfAny(onDisk(directory, path));
    if (!own) {
      const parent = onDisk(directory, dirname(path));
      const { atime, mtime } = await lstat(parent);
      makeWhiteout(onDisk(directory, path));
      await utimes(parent, atime, mtime);
    } else if (own.isDirectory()) opaque.add(path);
  }
  for (const path of opaque) {
    for (let at = path; at !== ""; at = dirname(at)) await mustBeDirectory(onDisk(directory, at));
    markOpaque(onDisk(directory, path));
  }
}

/** The directory a path leads to, itself followed if it is a link. */
function placeOf(paths: LayerFilter["paths"], path: string): string {
  return dirname(paths.place(join(path, "mark")));
}

async function lstatIfAny(path: Buffer) {
  return await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
}

async function mustBeDirectory(path: Buffer): Promise<void> {
  if ((await lstat(path)).isDirectory()) return;
  throw new LayerError(`layer has files below "${path.toString("latin1")}", which is not a directory`);
}

/** A place in a layer as a path for system calls: byte strings become bytes. */
function onDisk(directory: string, path: string): Buffer {
  const root = Buffer.from(directory);
  return path === "" ? root : Buffer.concat([root, Buffer.from(`/${path}`, "latin1")]);
}

function isBrokenPipe(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return code === "EPIPE" || code === "ECONNRESET" || code === "ERR_STREAM_DESTROYED";
}

function firstLines(text: string): string {
  return text.trim().split("\n").slice(0, 3).join("; ") || "no message";
}
