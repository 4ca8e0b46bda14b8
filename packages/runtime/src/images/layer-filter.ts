import { endOfArchive, entryHead, type PaxRecord, padding, patchHeader, TarDecoder, type TarEntry } from "@hawser/tar";
import { basename, checkLength, dirname, join, LayerError, LayerPaths } from "./layer-paths.ts";

/** Marks in a layer's file names. Source: opencontainers/image-spec layer.md, "Whiteouts". */
const whiteoutPrefix = ".wh.";
const opaqueMarker = ".wh..wh..opq";
/** AUFS' own bookkeeping, which layers of old still carry. */
const metaPrefix = ".wh..wh.";
/** Most entries a layer may have; what we remember of each is bounded by it. */
const maxEntries = 4_000_000;
/** Types we can extract. */
const ordinary = new Set(["0", "1", "2", "3", "4", "5", "6", "S"]);

/**
 * Makes a layer's tar stream safe to hand to tar(1), in one pass and without keeping content.
 *
 * Out come the same entries, with their names and hard link targets resolved inside the layer (see LayerPaths), with a
 * size field that cannot be read in two ways, without xattrs that would steer overlayfs, and without whiteouts, which are
 * collected for the time after the extraction.
 * Throws LayerError for names that lead out or are too long, and for types we do not know, TarError for a malformed archive.
 */
export class LayerFilter {
  readonly paths = new LayerPaths();
  /** Places that lower layers' files must not show through. */
  readonly whiteouts = new Set<string>();
  /** Directories that hide all of the lower layers' content. */
  readonly opaques = new Set<string>();

  readonly #decoder = new TarDecoder();
  #forwarding = false;
  #size = 0;
  #entries = 0;

  push(chunk: Uint8Array): Buffer {
    const out: Buffer[] = [];
    for (const event of this.#decoder.push(chunk)) {
      if (event.type === "data") {
        if (this.#forwarding) out.push(event.bytes);
        continue;
      }
      this.#closeEntry(out);
      this.#open(event.entry, out);
    }
    const [only] = out;
    return only && out.length === 1 ? only : Buffer.concat(out);
  }

  /** What is left to send when the input has ended. */
  finish(): Buffer {
    this.#decoder.finish();
    const out: Buffer[] = [];
    this.#closeEntry(out);
    return Buffer.concat([...out, endOfArchive]);
  }

  #closeEntry(out: Buffer[]): void {
    if (this.#forwarding) out.push(padding(this.#size));
    this.#forwarding = false;
  }

  #open(entry: TarEntry, out: Buffer[]): void {
    const { header } = entry;
    if (++this.#entries > maxEntries) throw new LayerError(`layer has more than ${maxEntries} entries`);
    if (!ordinary.has(header.type)) {
      throw new LayerError(`layer entry "${header.name}" has type "${header.type}", which is not supported`);
    }
    checkLength(header.name, header.linkname);
    const path = this.paths.place(header.name);
    checkLength(path); // through links it may have become longer
    if (this.#isMark(path)) return;

    if (path === "" && header.type !== "5") throw new LayerError("layer's root is not a directory");
    const isLink = header.type === "1" || header.type === "2";
    const linkname = header.type === "1" ? this.paths.place(header.linkname) : isLink ? header.linkname : "";
    if (!this.#note(path, header.type, linkname)) return;

    const name = path === "" ? "./" : path;
    const patched = patchHeader(entry.raw, { name, linkname, size: header.size, type: header.type });
    const raw = Buffer.concat([patched, entry.raw.subarray(patched.length)]);
    out.push(...entryHead({ ...header, name, linkname }, records(entry.pax, name), raw));
    this.#forwarding = true;
    this.#size = header.size;
  }

  #note(path: string, type: string, linkname: string): boolean {
    if (type === "1") return this.paths.addHardLink(path, linkname);
    if (type === "2") return this.paths.add(path, { type: "link", target: linkname });
    return this.paths.add(path, { type: type === "5" ? "directory" : "other" });
  }

  #isMark(path: string): boolean {
    const base = basename(path);
    if (base === opaqueMarker) {
      this.opaques.add(dirname(path));
      return true;
    }
    if (path.split("/").some((part) => part.startsWith(metaPrefix))) return true;
    if (!base.startsWith(whiteoutPrefix)) return false;
    const hidden = base.slice(whiteoutPrefix.length);
    if (["", ".", ".."].includes(hidden)) throw new LayerError(`layer has a whiteout of no file: "${path}"`);
    this.whiteouts.add(join(dirname(path), hidden));
    return true;
  }
}

/** The records that tar(1) may see. Times, owners, xattrs and sparse maps; the rest it would only warn about. */
function records(pax: readonly PaxRecord[], name: string): PaxRecord[] {
  return pax
    .filter(([key]) => {
      if (key.startsWith("SCHILY.xattr.")) return !/^SCHILY\.xattr\.(trusted|user)\.overlay\./.test(key);
      return ["mtime", "atime", "ctime", "uid", "gid"].includes(key) || key.startsWith("GNU.sparse.");
    })
    .map(([key, value]) => [key, key === "GNU.sparse.name" ? name : value] as const);
}
