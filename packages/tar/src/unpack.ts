import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import type { TarEntry, TarEvent } from "./decoder.ts";
import { at, type Directory, type Files, hasCode, type OpenFile, shown } from "./files.ts";
import { TarError, type TarHeader } from "./header.ts";
import { placeOf, staysInside } from "./names.ts";
import { maxDepth } from "./pack.ts";
import { paxValue } from "./pax.ts";
import { extents, SparseReader } from "./sparse.ts";

/** Most entries of one archive. */
const maxEntries = 10_000_000;
/** Most entries that are refused or skipped before the archive is given up. */
const maxRefused = 100_000;
/** Most warnings about them; the others are counted. */
const maxWarnings = 100;

export interface UnpackOptions {
  files: Files;
  /** Where the tree is to be. It is trusted: links in its own path were followed. */
  parent: Directory;
  /** The tree's name there. */
  name: string;
  /** The tree's name in the archive, which every entry's name begins with: "etc/nginx", "." for none. */
  root: string;
  /** Permission bits and modification times as in the archive; owners too where we may. Never set-id bits unless asked for. */
  preserve: { mode: boolean; times: boolean; owner: boolean; setId?: boolean };
  /** Links that lead out of the tree are made all the same: where it is the owner's own tree that is written. */
  anyLink?: boolean;
  onWarning?: (warning: string) => void;
  /** Called when a file has begun, or a link or directory was made. */
  onEntry?: (entry: { name: string; size: number; type: string }) => void;
}

/** What became of an archive. */
export interface Unpacked {
  files: number;
  directories: number;
  links: number;
  /** Left out, with a warning: devices, pipes, links out of the tree. */
  skipped: number;
  /** Of content. */
  bytes: number;
}

interface OpenDirectory {
  name: string;
  directory: Directory;
  /** What it is to have when nothing more comes into it. */
  header?: TarEntry | undefined;
}

interface Writing {
  handle: OpenFile;
  directory: Directory;
  temporary: string;
  name: string;
  entry: TarEntry;
  sparse?: SparseReader;
  position: number;
}

/**
 * Makes files of an archive that nobody vouches for. Every name is looked up one directory at a time, and none of them may
 * be a symbolic link, so that nothing is written outside the tree whatever the archive says. A file is written beside
 * its place and moved there when it is whole; pages of zeros become holes. Links, hard and symbolic, lead to places in the tree.
 * Devices and pipes are never made.
 *
 * To be given a decoder's events in order, one at a time; then `finish`, or `abort`.
 */
export class Unpacker {
  readonly #options: UnpackOptions;
  readonly #open: OpenDirectory[];
  readonly #result: Unpacked = { files: 0, directories: 0, links: 0, skipped: 0, bytes: 0 };
  #writing: Writing | undefined;
  #entries = 0;

  constructor(options: UnpackOptions) {
    this.#options = options;
    this.#open = [{ name: "", directory: options.parent }];
  }

  /** Throws TarError for what no honest archive has, and what the file calls throw. */
  async take(event: TarEvent): Promise<void> {
    if (event.type === "data") return await this.#data(event.bytes);
    await this.#finishFile();
    await this.#entry(event.entry);
  }

  /** After the archive's end: what is left to set is set. */
  async finish(): Promise<Unpacked> {
    await this.#finishFile();
    await this.#leaveTo(1);
    const more = this.#result.skipped - maxWarnings;
    if (more > 0) this.#options.onWarning?.(`warning: ${more} more were skipped`);
    return this.#result;
  }

  /** Removes the file under way. What is whole stays. */
  async abort(): Promise<void> {
    const { files } = this.#options;
    const writing = this.#writing;
    this.#writing = undefined;
    await writing?.handle.close().catch(() => {});
    if (writing) await files.unlink(at(writing.directory, writing.temporary)).catch(() => {});
    for (const { directory } of this.#open.splice(1)) await directory.close().catch(() => {});
  }

  async #entry(entry: TarEntry): Promise<void> {
    const { header } = entry;
    if (++this.#entries > maxEntries) throw new TarError(`tar archive has more than ${maxEntries} entries`);
    const place = placeOf(header.name, this.#options.root);
    if (!place) {
      return this.#skip(`warning: file ${quoted(header.name)} is outside target destination, skipping`);
    }
    if (place.length > maxDepth) throw new TarError(`tar archive nests directories more than ${maxDepth} deep`);
    const names = [this.#options.name, ...place];
    if (header.type === "5") return await this.#directory(names, entry);
    const name = names.pop() ?? "";
    if (["3", "4", "6"].includes(header.type))
      return this.#skip(`warning: skipping special file: ${quoted(header.name)}`);
    if (header.type === "S") throw new TarError("sparse file of a format that is not supported");
    if (!["0", "1", "2"].includes(header.type)) {
      return this.#skip(
        `warning: skipping ${quoted(header.name)}: entries of type ${quoted(header.type)} are not supported`,
      );
    }
    const parent = await this.#enter(names);
    if (!parent) return this.#skip(`warning: file ${quoted(header.name)} is outside target destination, skipping`);
    if (header.type === "0") return await this.#file(parent, name, entry);
    if (header.type === "1") return await this.#hardLink(parent, name, header);
    await this.#symbolicLink(parent, name, header, place.length - 1);
  }

  async #directory(names: string[], entry: TarEntry): Promise<void> {
    const directory = await this.#enter(names);
    const last = this.#open.at(-1);
    if (!directory || !last) {
      return this.#skip(`warning: file ${quoted(entry.header.name)} is outside target destination, skipping`);
    }
    last.header = entry;
    this.#result.directories++;
    this.#told(entry.header);
  }

  async #file(parent: Directory, name: string, entry: TarEntry): Promise<void> {
    const { files, onEntry } = this.#options;
    const sparse = entry.pax.some(([key]) => key.startsWith("GNU.sparse.")) ? new SparseReader(entry.pax) : undefined;
    const temporary = temporaryName();
    const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
    const handle = await files.open(at(parent, temporary), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    this.#writing = { handle, directory: parent, temporary, name, entry, position: 0, ...(sparse && { sparse }) };
    const size = sparse?.realSize ?? entry.header.size;
    onEntry?.({ name: shown(entry.header.name), size, type: "0" });
  }

  async #data(bytes: Buffer): Promise<void> {
    const writing = this.#writing;
    if (!writing) return; // of an entry that was skipped
    this.#result.bytes += bytes.length;
    if (writing.sparse) {
      for (const { offset, bytes: placed } of writing.sparse.push(bytes)) await write(writing.handle, placed, offset);
      return;
    }
    await write(writing.handle, bytes, writing.position);
    writing.position += bytes.length;
  }

  async #finishFile(): Promise<void> {
    const writing = this.#writing;
    if (!writing) return;
    const { files } = this.#options;
    const { handle, directory, temporary, name, entry } = writing;
    await handle.truncate(writing.sparse?.realSize ?? entry.header.size); // its end may be a hole
    await this.#preserveFile(handle, entry);
    // From here on abort() has nothing to do with it: a descriptor that is closed twice may be another's by then.
    this.#writing = undefined;
    try {
      await handle.close();
      await files.rename(at(directory, temporary), at(directory, name));
    } catch (error) {
      await files.unlink(at(directory, temporary)).catch(() => {});
      throw error;
    }
    this.#result.files++;
  }

  async #preserveFile(handle: OpenFile, { header, pax }: TarEntry): Promise<void> {
    const { mode, times, owner } = this.#options.preserve;
    if (owner) await handle.chown(header.uid, header.gid).catch(ignoreRefusal);
    await handle.chmod(mode ? this.#modeOf(header) : 0o666 & ~process.umask());
    if (times) await handle.utimes(...timesOf(header, pax));
  }

  #modeOf({ mode }: TarHeader): number {
    return mode & (this.#options.preserve.setId ? 0o7777 : 0o777);
  }

  /** Only to a file of this tree: a link to a link, or to a directory, is refused. */
  async #hardLink(parent: Directory, name: string, header: TarHeader): Promise<void> {
    const { files, root } = this.#options;
    const target = placeOf(header.linkname, root);
    const refuse = () =>
      this.#skip(
        `warning: skipping hard link ${quoted(header.name)} -> ${quoted(header.linkname)}: its target is no file of this copy`,
      );
    if (!target) return refuse();
    const names = [this.#options.name, ...target];
    const last = names.pop() ?? "";
    const opened: Directory[] = [];
    try {
      let directory = this.#options.parent;
      for (const each of names) {
        directory = await files.openDirectory(directory, each);
        opened.push(directory);
      }
      const existing = at(directory, last);
      if (!(await files.lstat(existing)).isFile()) return refuse();
      const temporary = temporaryName();
      await files.link(existing, at(parent, temporary));
      await this.#moveOver(parent, temporary, name);
    } catch (error) {
      if (hasCode(error, "ENOENT", "ENOTDIR", "ELOOP")) return refuse();
      throw error;
    } finally {
      for (const directory of opened) await directory.close();
    }
    this.#result.links++;
    this.#told(header);
  }

  async #symbolicLink(parent: Directory, name: string, header: TarHeader, depth: number): Promise<void> {
    const { files, preserve, anyLink } = this.#options;
    if (!anyLink && !staysInside(header.linkname, depth)) {
      return this.#skip(`warning: skipping symlink: ${quoted(header.name)} -> ${quoted(header.linkname)}`);
    }
    const temporary = temporaryName();
    const path = at(parent, temporary);
    await files.symlink(Buffer.from(header.linkname, "latin1"), path);
    if (preserve.owner) await files.lchown(path, header.uid, header.gid).catch(ignoreRefusal);
    if (preserve.times) await files.lutimes(path, header.mtime, header.mtime);
    await this.#moveOver(parent, temporary, name);
    this.#result.links++;
    this.#told(header);
  }

  async #moveOver(parent: Directory, temporary: string, name: string): Promise<void> {
    const { files } = this.#options;
    try {
      await files.rename(at(parent, temporary), at(parent, name));
    } finally {
      // Gone after a move, but not where both names are the same file already.
      await files.unlink(at(parent, temporary)).catch(() => {});
    }
  }

  /** The directory of these names, made where it is not there. Undefined when one of them is a link. */
  async #enter(names: string[]): Promise<Directory | undefined> {
    const { files } = this.#options;
    let depth = 1;
    while (depth < this.#open.length && this.#open[depth]?.name === names[depth - 1]) depth++;
    await this.#leaveTo(Math.min(depth, names.length + 1));
    for (const name of names.slice(this.#open.length - 1)) {
      const parent = this.#open.at(-1)?.directory ?? this.#options.parent;
      const path = at(parent, name);
      await files.mkdir(path, 0o777).catch((error: unknown) => {
        if (!hasCode(error, "EEXIST")) throw error;
      });
      const stat = await files.lstat(path);
      if (stat.isSymbolicLink()) return undefined;
      this.#open.push({ name, directory: await files.openDirectory(parent, name) });
    }
    return this.#open.at(-1)?.directory;
  }

  /** Closes directories, innermost first, each with its own mode and time set at last. */
  async #leaveTo(depth: number): Promise<void> {
    const { files, preserve } = this.#options;
    while (this.#open.length > depth) {
      const left = this.#open.pop();
      const parent = this.#open.at(-1)?.directory;
      if (!left || !parent) return;
      await left.directory.close();
      if (!left.header) continue;
      const { header, pax } = left.header;
      const path = at(parent, left.name);
      if (preserve.owner) await files.lchown(path, header.uid, header.gid).catch(ignoreRefusal);
      if (preserve.mode) await files.chmod(path, this.#modeOf(header));
      if (preserve.times) await files.lutimes(path, ...timesOf(header, pax));
    }
  }

  #skip(warning: string): void {
    if (++this.#result.skipped > maxRefused) throw new TarError(`more than ${maxRefused} entries had to be skipped`);
    if (this.#result.skipped <= maxWarnings) this.#options.onWarning?.(warning);
  }

  #told({ name, type }: TarHeader): void {
    this.#options.onEntry?.({ name: shown(name), size: 0, type });
  }
}

/** All of it, with pages of zeros left out. */
async function write(handle: OpenFile, bytes: Buffer, position: number): Promise<void> {
  for (const { offset, length } of extents(bytes, position)) {
    for (let done = 0; done < length; ) {
      const from = offset - position + done;
      done += (await handle.write(bytes, from, length - done, offset + done)).bytesWritten;
    }
  }
}

function timesOf({ mtime }: TarHeader, pax: TarEntry["pax"]): [atime: number, mtime: number] {
  const exact = Number(paxValue(pax, "mtime"));
  const seconds = Number.isFinite(exact) && paxValue(pax, "mtime") ? exact : mtime;
  return [seconds, seconds];
}

/** An owner that we may not set is not worth failing for: the file is ours then. */
function ignoreRefusal(error: unknown): void {
  if (!hasCode(error, "EPERM", "EINVAL", "ENOSYS")) throw error;
}

function temporaryName(): string {
  return `.hawser-${randomBytes(8).toString("hex")}`;
}

function quoted(name: string): string {
  return JSON.stringify(shown(name));
}
