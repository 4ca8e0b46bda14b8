import { blockSize, buildHeader, maxShortName, type TarHeader } from "./header.ts";
import { formatPax, type PaxRecord } from "./pax.ts";

/** What ends an archive: two blocks of zeros. */
export const endOfArchive = Buffer.alloc(2 * blockSize);

/**
 * The blocks before an entry's content: a pax header when there are records or a name is too long, then the header.
 * `raw` stands in for the header block where the caller has one already.
 */
export function entryHead(header: TarHeader, pax: readonly PaxRecord[] = [], raw?: Buffer): Buffer[] {
  const records = [...pax];
  if (header.name.length > maxShortName || /[^\x20-\x7e]/.test(header.name)) records.push(["path", header.name]);
  if (header.linkname.length > maxShortName || /[^\x20-\x7e]/.test(header.linkname)) {
    records.push(["linkpath", header.linkname]);
  }
  const block = raw ?? buildHeader(header);
  if (records.length === 0) return [block];
  const body = formatPax(records);
  const extended = buildHeader({ ...fresh("PaxHeaders/entry"), type: "x", size: body.length });
  return [extended, body, padding(body.length), block];
}

/**
 * The same with GNU's long names in place of pax records: what every tar reads, busybox's too, which skips pax headers.
 * Names are whole; `pax` is only sent to those who need it.
 */
export function gnuEntryHead(header: TarHeader, pax: readonly PaxRecord[] = []): Buffer[] {
  const blocks: Buffer[] = [];
  for (const [type, text] of [
    ["K", header.linkname],
    ["L", header.name],
  ] as const) {
    if (text.length <= maxShortName) continue;
    const body = Buffer.from(`${text}\0`, "latin1");
    blocks.push(buildHeader({ ...fresh("././@LongLink"), type, size: body.length }), body, padding(body.length));
  }
  if (pax.length > 0) {
    const body = formatPax(pax);
    blocks.push(
      buildHeader({ ...fresh("PaxHeaders/entry"), type: "x", size: body.length }),
      body,
      padding(body.length),
    );
  }
  return [...blocks, buildHeader(header)];
}

/** The zeros that fill the last block of content. */
export function padding(size: number): Buffer {
  return Buffer.alloc((blockSize - (size % blockSize)) % blockSize);
}

/** One whole entry, content included. Names are byte strings. Defaults: a file of mode 0644, owner 0, time 0. */
export function tarEntry(
  header: Partial<TarHeader> & { name: string },
  content: Uint8Array | string = "",
  pax: readonly PaxRecord[] = [],
): Buffer {
  const body = Buffer.from(content as Uint8Array); // a string is taken as UTF-8 by the same call
  const full = { ...fresh(header.name), ...header, size: body.length };
  return Buffer.concat([...entryHead(full, pax), body, padding(body.length)]);
}

/** A whole archive of such entries. */
export function tarArchive(entries: readonly Buffer[]): Buffer {
  return Buffer.concat([...entries, endOfArchive]);
}

function fresh(name: string): TarHeader {
  return { name, type: "0", linkname: "", mode: 0o644, uid: 0, gid: 0, size: 0, mtime: 0, devmajor: 0, devminor: 0 };
}
