import type { Stats } from "node:fs";

/**
 * An open directory. `path` is good for as long as it is open, and what is looked up below it is one name at a time:
 * no symbolic link is ever passed through. Paths and names are byte strings (one character per byte, "latin1").
 */
export interface Directory {
  readonly path: string;
  close(): Promise<void>;
}

/** An open file, as node:fs/promises has it. */
export interface OpenFile {
  stat(): Promise<Stats>;
  read(buffer: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesRead: number }>;
  write(buffer: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesWritten: number }>;
  truncate(length: number): Promise<void>;
  chmod(mode: number): Promise<void>;
  chown(uid: number, gid: number): Promise<void>;
  utimes(atime: number, mtime: number): Promise<void>;
  close(): Promise<void>;
}

/** What trees of files are read and written with. Every path is a directory's and one name. */
export interface Files {
  /** Opens a directory in another. Throws ENOTDIR for anything else, a link to a directory too. */
  openDirectory(parent: Directory, name: string): Promise<Directory>;
  lstat(path: Buffer): Promise<Stats>;
  /** The names in a directory, without "." and "..". */
  list(directory: Directory): AsyncIterable<string>;
  readlink(path: Buffer): Promise<string>;
  open(path: Buffer, flags: number, mode?: number): Promise<OpenFile>;
  mkdir(path: Buffer, mode: number): Promise<void>;
  rename(from: Buffer, to: Buffer): Promise<void>;
  symlink(target: Buffer, path: Buffer): Promise<void>;
  link(existing: Buffer, path: Buffer): Promise<void>;
  unlink(path: Buffer): Promise<void>;
  /** Mode of a directory. */
  chmod(path: Buffer, mode: number): Promise<void>;
  lchown(path: Buffer, uid: number, gid: number): Promise<void>;
  lutimes(path: Buffer, atime: number, mtime: number): Promise<void>;
}

/** A name in a directory, as file calls take it. */
export function at(directory: Directory, name: string): Buffer {
  return Buffer.from(`${directory.path}/${name}`, "latin1");
}

/** Bytes as they are shown to people. */
export function shown(name: string): string {
  return Buffer.from(name, "latin1").toString("utf8");
}

/** A string's UTF-8 bytes, as a byte string. */
export function byteString(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1");
}

export function hasCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && "code" in error && codes.includes(String(error.code));
}
