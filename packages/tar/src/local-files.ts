import * as fs from "node:fs/promises";
import { at, type Directory, type Files } from "./files.ts";

/**
 * This machine's files, by their paths. A directory is looked at before it is entered: safe against what an archive
 * says, not against another program that swaps directories for links meanwhile.
 */
export const localFiles: Files = {
  async openDirectory(parent, name) {
    const path = at(parent, name);
    if (!(await fs.lstat(path)).isDirectory()) throw notDirectory(path);
    return localDirectory(path.toString("latin1"));
  },
  lstat: (path) => fs.lstat(path),
  async *list({ path }) {
    // Typed for strings only; it takes what readdir takes.
    const directory = await fs.opendir(Buffer.from(path, "latin1") as unknown as string, { encoding: "latin1" });
    for await (const { name } of directory) yield name;
  },
  readlink: (path) => fs.readlink(path, "latin1"),
  open: (path, flags, mode) => fs.open(path, flags, mode),
  async mkdir(path, mode) {
    await fs.mkdir(path, mode);
  },
  rename: fs.rename,
  symlink: (target, path) => fs.symlink(target, path),
  link: fs.link,
  unlink: fs.unlink,
  chmod: fs.chmod,
  lchown: fs.lchown,
  lutimes: fs.lutimes,
};

/** A directory of this machine that is trusted as it stands: the user named it. A byte string. */
export function localDirectory(path: string): Directory {
  return { path, close: async () => {} };
}

function notDirectory(path: Buffer): Error {
  const code = "ENOTDIR";
  return Object.assign(new Error(`${code}: not a directory, open '${path.toString()}'`), { code, syscall: "open" });
}
