/** Bytes of a tar block. */
export const blockSize = 512;

/**
 * One header of a tar archive. Names are byte strings (one character per byte, "latin1"),
 * so that names in any encoding come through unchanged.
 */
export interface TarHeader {
  name: string;
  /** The type flag: "0" file, "1" hard link, "2" symlink, "3" char, "4" block, "5" directory, "6" fifo, "S" sparse, "x" pax, ... */
  type: string;
  linkname: string;
  /** Permission bits and set-id bits. */
  mode: number;
  uid: number;
  gid: number;
  /** Bytes of content that follow. 0 for every type that has none. */
  size: number;
  /** Seconds since the epoch. */
  mtime: number;
  devmajor: number;
  devminor: number;
}

/** The archive breaks the tar format. */
export class TarError extends Error {
  override readonly name = "TarError";
}

const field = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  checksum: [148, 8],
  type: [156, 1],
  linkname: [157, 100],
  magic: [257, 6],
  devmajor: [329, 8],
  devminor: [337, 8],
  prefix: [345, 155],
} as const satisfies Record<string, readonly [number, number]>;

/** Types whose header is never followed by content, whatever their size field says. */
const headerOnly = new Set(["1", "2", "3", "4", "5", "6"]);

/**
 * Reads one header block of 512 bytes. Undefined for a block of zeros, which marks an archive's end.
 * Throws TarError when the checksum or a number is wrong.
 *
 * Source: POSIX.1-2017 pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format".
 */
export function parseHeader(block: Buffer): TarHeader | undefined {
  if (block.every((byte) => byte === 0)) return undefined;
  const stored = number(block, field.checksum, "checksum");
  if (stored !== checksum(block, false) && stored !== checksum(block, true)) {
    throw new TarError("tar header has a wrong checksum");
  }
  const prefix = isPosix(block) ? text(block, field.prefix) : "";
  const short = text(block, field.name);
  const name = prefix ? `${prefix}/${short}` : short;
  const type = kind(String.fromCharCode(block[field.type[0]] ?? 0), name);
  const size = number(block, field.size, "size");
  return {
    name,
    type,
    linkname: text(block, field.linkname),
    mode: number(block, field.mode, "mode") & 0o7777,
    uid: number(block, field.uid, "uid"),
    gid: number(block, field.gid, "gid"),
    size: headerOnly.has(type) ? 0 : size,
    mtime: number(block, field.mtime, "mtime", true),
    devmajor: number(block, field.devmajor, "devmajor"),
    devminor: number(block, field.devminor, "devminor"),
  };
}

/** Whether content can follow a header of this type. */
export function hasContent(type: string): boolean {
  return !headerOnly.has(type);
}

/** Makes a ustar header block. Name and link name are cut at 100 bytes: give longer ones in a pax record too. */
export function buildHeader(header: TarHeader): Buffer {
  const block = Buffer.alloc(blockSize);
  putText(block, field.name, header.name);
  putNumber(block, field.mode, header.mode);
  putNumber(block, field.uid, header.uid);
  putNumber(block, field.gid, header.gid);
  putNumber(block, field.size, header.size);
  putNumber(block, field.mtime, Math.max(0, Math.floor(header.mtime)));
  putText(block, field.type, header.type);
  putText(block, field.linkname, header.linkname);
  block.write("ustar\x0000", field.magic[0], "latin1");
  putNumber(block, field.devmajor, header.devmajor);
  putNumber(block, field.devminor, header.devminor);
  return seal(block);
}

/**
 * The same header block with other names and a size that says what follows, its other fields as they were.
 * Names longer than 100 bytes are cut: give those in a pax record too.
 */
export function patchHeader(
  original: Buffer,
  { name, linkname, size, type }: Pick<TarHeader, "name" | "linkname" | "size" | "type">,
): Buffer {
  const block = Buffer.from(original.subarray(0, blockSize));
  putText(block, field.name, name);
  putText(block, field.linkname, linkname);
  putText(block, field.type, type);
  putNumber(block, field.size, size);
  if (isPosix(block)) block.fill(0, field.prefix[0], field.prefix[0] + field.prefix[1]);
  return seal(block);
}

/** Longest name a header's own field holds, bytes. */
export const maxShortName = field.name[1];

function kind(flag: string, name: string): string {
  if (flag === "\0" || flag === "0" || flag === "7") return name.endsWith("/") ? "5" : "0";
  return flag;
}

function isPosix(block: Buffer): boolean {
  return block.toString("latin1", 257, 263) === "ustar\0";
}

function text(block: Buffer, [start, length]: readonly [number, number]): string {
  const end = block.subarray(start, start + length).indexOf(0);
  return block.toString("latin1", start, start + (end < 0 ? length : end));
}

function number(block: Buffer, where: readonly [number, number], what: string, signed = false): number {
  const [start, length] = where;
  const bytes = block.subarray(start, start + length);
  const first = bytes[0] ?? 0;
  let value: bigint | number;
  if (first & 0x80) {
    value = base256(bytes);
  } else {
    const digits = text(block, where).trim();
    if (digits === "") return 0;
    if (!/^[0-7]+$/.test(digits)) throw new TarError(`tar header has a wrong ${what}`);
    value = Number.parseInt(digits, 8);
  }
  const result = Number(value);
  if (!Number.isSafeInteger(result) || (result < 0 && !signed)) throw new TarError(`tar header has a wrong ${what}`);
  return result;
}

/** GNU's base-256 numbers: big-endian two's complement, the first byte's top bit set as the mark. */
function base256(bytes: Buffer): bigint {
  const negative = ((bytes[0] ?? 0) & 0x40) !== 0;
  let value = BigInt(((bytes[0] ?? 0) & 0x7f) | (negative ? 0x80 : 0));
  for (const byte of bytes.subarray(1)) value = (value << 8n) | BigInt(byte);
  return negative ? value - (1n << BigInt(bytes.length * 8)) : value;
}

function putText(block: Buffer, [start, length]: readonly [number, number], value: string): void {
  block.fill(0, start, start + length);
  block.write(value.slice(0, length), start, length, "latin1");
}

function putNumber(block: Buffer, [start, length]: readonly [number, number], value: number): void {
  const digits = value.toString(8);
  if (digits.length < length) {
    block.write(`${digits.padStart(length - 1, "0")}\0`, start, length, "latin1");
    return;
  }
  let rest = BigInt(value);
  for (let at = start + length - 1; at >= start; at--) {
    block[at] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  block[start] = (block[start] ?? 0) | 0x80;
}

function seal(block: Buffer): Buffer {
  const digits = checksum(block, false).toString(8).padStart(6, "0");
  block.write(`${digits}\0 `, field.checksum[0], "latin1");
  return block;
}

/** The sum of all bytes, the checksum's own counted as spaces. Some old tars summed signed bytes. */
function checksum(block: Buffer, signed: boolean): number {
  const [start, length] = field.checksum;
  let sum = 32 * length;
  for (let at = 0; at < blockSize; at++) {
    if (at >= start && at < start + length) continue;
    const byte = block[at] ?? 0;
    sum += signed && byte > 127 ? byte - 256 : byte;
  }
  return sum;
}
