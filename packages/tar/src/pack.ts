import { constants, type Stats } from "node:fs";
import { at, type Directory, type Files, shown } from "./files.ts";
import type { TarHeader } from "./header.ts";
import { extents, SparseMap, sparseRecords } from "./sparse.ts";
import { endOfArchive, gnuEntryHead, padding } from "./writer.ts";

/** Bytes read of a file at once. */
const readSize = 256 * 1024;
/** Files with several names that are remembered, so that the others become links; what comes later is copied once more. */
const maxLinked = 100_000;
/** Deepest nesting of directories. */
export const maxDepth = 512;

export interface PackOptions {
  files: Files;
  /** Where the tree is. */
  parent: Directory;
  /** The tree's name there: a file, a directory, a link. */
  name: string;
  /** Its name in the archive, a byte string. */
  as: string;
  /** Holes are left out, in GNU's way, which only GNU's tar and our own reader know. */
  sparse?: boolean;
  /**
   * Names a directory once more after what is in it: busybox's tar sets a directory's time when it makes it, and what is then
   * put into it changes that.
   */
  directoriesTwice?: boolean;
  /** Leaves the tree's own entry out: what is in it goes into a directory that is there. */
  contentsOnly?: boolean;
  /** Entries to leave out at the beginning, directories excepted: an earlier archive had them, and did not come to its end. */
  skip?: number;
  /** Called for what an archive cannot hold. */
  onWarning?: (warning: string) => void;
  /**
   * Called with a file that went away, or shrank while it was read, before zeros take the place of what there was. What it throws breaks the archive
   * off.
   */
  onChanged?: (name: string) => void;
  /** Called before an entry goes out, or is left out; `size` is the file's, 0 for what is none. */
  onEntry?: (entry: PackedEntry) => void;
}

export interface PackedEntry {
  /** In the order of the whole archive. */
  index: number;
  name: string;
  /** Tar's: "0" file, "1" hard link, "2" link, "5" directory. */
  type: string;
  size: number;
  /** Seconds since 1970. */
  mtime: number;
  /** A directory that was named before. */
  again: boolean;
  /** By `skip`. */
  left: boolean;
}

/**
 * A tree of files as a tar archive: GNU's long names, hard links, holes where asked for. Links are kept as links. Sockets, pipes and
 * devices are left out with a warning. Throws what the file calls throw.
 *
 * A file that shrinks while it is read is filled up with zeros, so that the archive stays whole.
 */
export async function* packTree(options: PackOptions): AsyncGenerator<Buffer> {
  const { files, parent, name, as } = options;
  const state: State = { options, links: new Map(), index: 0, depth: 0 };
  const stat = await files.lstat(at(parent, name));
  if (options.contentsOnly && stat.isDirectory()) yield* contents(state, parent, { name, as });
  else yield* entry(state, parent, { name, as, stat });
  yield endOfArchive;
}

interface State {
  options: PackOptions;
  /** Device and inode of a file with several names, to its first name in the archive. */
  links: Map<string, string>;
  index: number;
  depth: number;
}

async function* entry(
  state: State,
  parent: Directory,
  { name, as, stat }: { name: string; as: string; stat: Stats },
): AsyncGenerator<Buffer> {
  const { files, onWarning } = state.options;
  const path = at(parent, name);
  if (stat.isDirectory()) {
    const own = header({ name: `${as}/`, type: "5", stat });
    yield* emit(state, own);
    yield* contents(state, parent, { name, as });
    if (state.options.directoriesTwice) yield* emit(state, own, { again: true });
  } else if (stat.isSymbolicLink()) {
    yield* emit(state, { ...header({ name: as, type: "2", stat }), linkname: await files.readlink(path) });
  } else if (!stat.isFile()) {
    onWarning?.(`warning: skipping special file: ${JSON.stringify(shown(as))}`);
  } else {
    const key = `${stat.dev}:${stat.ino}`;
    const first = stat.nlink > 1 ? state.links.get(key) : undefined;
    if (first !== undefined) return yield* emit(state, { ...header({ name: as, type: "1", stat }), linkname: first });
    if (stat.nlink > 1 && state.links.size < maxLinked) state.links.set(key, as);
    yield* file(state, path, as);
  }
}

async function* contents(
  state: State,
  parent: Directory,
  { name, as }: { name: string; as: string },
): AsyncGenerator<Buffer> {
  const { files, onChanged } = state.options;
  if (++state.depth > maxDepth) throw new Error(`${shown(as)}: directories are nested more than ${maxDepth} deep`);
  const directory = await files.openDirectory(parent, name);
  try {
    for await (const child of files.list(directory)) {
      const stat = await files.lstat(at(directory, child)).catch(() => undefined);
      if (!stat) onChanged?.(shown(`${as}/${child}`));
      if (stat) yield* entry(state, directory, { name: child, as: as === "." ? `./${child}` : `${as}/${child}`, stat });
    }
  } finally {
    await directory.close();
    state.depth--;
  }
}

/** A header, with the long names before it, unless the entry is one to leave out. */
function* emit(state: State, entryHeader: TarHeader, { again = false } = {}): Generator<Buffer> {
  const { skip = 0, onEntry } = state.options;
  const { name, type, size, mtime } = entryHeader;
  const index = state.index++;
  const left = index < skip && type !== "5";
  onEntry?.({ index, name, type, size, mtime, again, left });
  if (left) return;
  yield Buffer.concat(gnuEntryHead(entryHeader));
}

async function* file(state: State, path: Buffer, as: string): AsyncGenerator<Buffer> {
  const { files, sparse, skip = 0, onEntry, onWarning, onChanged } = state.options;
  if (state.index < skip) {
    const stat = await files.lstat(path);
    for (const _ of emit(state, { ...header({ name: as, type: "0", stat }), size: stat.size }));
    return;
  }
  let told = false;
  const onShort = () => {
    if (!told) onChanged?.(shown(as));
    told = true;
  };
  // Not blocking: between the look and the opening it may have become a pipe.
  const handle = await files.open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) return onWarning?.(`warning: skipping special file: ${JSON.stringify(shown(as))}`);
    const map = sparse && stat.blocks * 512 < stat.size ? await mapOf(handle, stat.size) : undefined;
    if (!map) {
      yield* emit(state, { ...header({ name: as, type: "0", stat }), size: stat.size });
      yield* stretch(handle, { from: 0, length: stat.size, onShort });
      yield padding(stat.size);
      return;
    }
    const head = map.encode();
    const size = head.length + map.dataLength;
    const { mtime } = header({ name: as, type: "0", stat });
    onEntry?.({ index: state.index++, name: as, type: "0", size: stat.size, mtime, again: false, left: false });
    const short = header({ name: "GNUSparseFile.0/entry", type: "0", stat });
    yield Buffer.concat([...gnuEntryHead({ ...short, size }, sparseRecords(as, stat.size)), head]);
    for (const { offset, length } of map.extents) yield* stretch(handle, { from: offset, length, onShort });
    yield padding(size);
  } finally {
    await handle.close();
  }
}

type Handle = Awaited<ReturnType<Files["open"]>>;

/** Where a file holds something; undefined when it has too many holes to list, or none. */
async function mapOf(handle: Handle, size: number): Promise<SparseMap | undefined> {
  const map = new SparseMap();
  const buffer = Buffer.allocUnsafeSlow(readSize);
  for (let offset = 0; offset < size; ) {
    const { bytesRead } = await handle.read(buffer, 0, Math.min(readSize, size - offset), offset);
    if (bytesRead === 0) break;
    for (const extent of extents(buffer.subarray(0, bytesRead), offset)) if (!map.add(extent)) return undefined;
    offset += bytesRead;
  }
  const last = map.extents.at(-1);
  // A hole at the end is told by an empty piece there: GNU's tar cuts the file at its last piece.
  if (!last || last.offset + last.length < size) map.add({ offset: size, length: 0 });
  return map.dataLength < size ? map : undefined;
}

interface Stretch {
  from: number;
  length: number;
  onShort(): void;
}

/** Exactly `length` bytes of a file; zeros for what is no longer there, before which `onShort` is called. */
async function* stretch(handle: Handle, { from, length, onShort }: Stretch): AsyncGenerator<Buffer> {
  let short = false;
  for (let done = 0; done < length; ) {
    // A new one each time: the chunk is the taker's.
    const buffer = Buffer.allocUnsafeSlow(Math.min(readSize, length - done));
    const read: number = short ? 0 : (await handle.read(buffer, 0, buffer.length, from + done)).bytesRead;
    if (read === 0 && !short) onShort();
    short ||= read === 0;
    const bytes = short ? buffer.fill(0) : buffer.subarray(0, read);
    yield bytes;
    done += bytes.length;
  }
}

function header({ name, type, stat }: { name: string; type: string; stat: Stats }): TarHeader {
  const { mode, uid, gid, mtimeMs } = stat;
  return {
    name,
    type,
    linkname: "",
    mode: mode & 0o7777,
    uid,
    gid,
    size: 0,
    mtime: Math.max(0, Math.floor(mtimeMs / 1000)),
    devmajor: 0,
    devminor: 0,
  };
}

/** One file that is no file: its header for content of a known size. */
export function contentHead(entry: { as: string; size: number; mode: number; mtime: number }): Buffer[] {
  const { as, size, mode, mtime } = entry;
  const fields = { linkname: "", uid: 0, gid: 0, devmajor: 0, devminor: 0 };
  return gnuEntryHead({ ...fields, name: as, type: "0", size, mode, mtime });
}
