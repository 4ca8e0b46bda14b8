import * as fs from "node:fs";
import { O_PATH } from "@hawser/files";
import { at, type Directory, type Files, type OpenFile } from "@hawser/tar";
import { openBelow } from "../native/in-root.ts";

const O_CLOEXEC = 0o2000000;
const { O_DIRECTORY, O_NOFOLLOW, O_ACCMODE = 3 } = fs.constants as typeof fs.constants & { O_ACCMODE?: number };
const directoryFlags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

/**
 * Files of a container, while its processes may be changing them: a directory is a descriptor, and what is in it is looked up by
 * one name that is no link. Every call is made on the thread that calls, whose user counts. A directory's path leads through
 * /proc/self/fd.
 */
export const rootedFiles: Files = {
  openDirectory: async (parent, name) => held(fs.openSync(at(parent, name), directoryFlags)),
  lstat: async (path) => fs.lstatSync(path),
  async *list({ path }) {
    const directory = fs.opendirSync(`${path}/.`, { encoding: "latin1" as BufferEncoding });
    try {
      for (let entry = directory.readSync(); entry; entry = directory.readSync()) yield entry.name;
    } finally {
      directory.closeSync();
    }
  },
  readlink: async (path) => fs.readlinkSync(path, "latin1"),
  async open(path, flags, mode) {
    if ((flags & O_ACCMODE) !== fs.constants.O_RDONLY) return openFile(fs.openSync(path, flags | O_CLOEXEC, mode));
    // Looked at before it is opened: opening a device would do something already.
    return through(path, (fd, link) => {
      if (!fs.fstatSync(fd).isFile()) throw new Error(`${path} is no longer a file`);
      return openFile(fs.openSync(link, fs.constants.O_RDONLY | O_CLOEXEC));
    });
  },
  mkdir: async (path, mode) => fs.mkdirSync(path, mode) as undefined,
  rename: async (from, to) => fs.renameSync(from, to),
  symlink: async (target, path) => fs.symlinkSync(target, path),
  link: async (existing, path) => fs.linkSync(existing, path),
  unlink: async (path) => fs.unlinkSync(path),
  // chmod(2) would follow a link that has just been put there.
  chmod: async (path, mode) => through(path, (_, link) => fs.chmodSync(link, mode)),
  lchown: async (path, uid, gid) => fs.lchownSync(path, uid, gid),
  lutimes: async (path, atime, mtime) => fs.lutimesSync(path, atime, mtime),
};

/**
 * A directory of the container by its path there, with links followed as the container sees them. Undefined when there is none.
 */
export function directoryInRoot(rootFd: number, path: string): Directory | undefined {
  try {
    const fd = openBelow(rootFd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd === undefined ? undefined : held(fd);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOTDIR") return undefined;
    throw error;
  }
}

function held(fd: number): Directory {
  return { path: `/proc/self/fd/${fd}`, close: async () => fs.closeSync(fd) };
}

/** What a path is, and never what a link there leads to: its descriptor, and the way to it. */
function through<T>(path: Buffer, body: (fd: number, link: string) => T): T {
  const fd = fs.openSync(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  try {
    if (fs.fstatSync(fd).isSymbolicLink()) throw new Error(`${path} has become a link`);
    return body(fd, `/proc/self/fd/${fd}`);
  } finally {
    fs.closeSync(fd);
  }
}

function openFile(fd: number): OpenFile {
  return {
    stat: async () => fs.fstatSync(fd),
    read: async (buffer, offset, length, position) => ({
      bytesRead: fs.readSync(fd, buffer, offset, length, position),
    }),
    write: async (buffer, offset, length, position) => ({
      bytesWritten: fs.writeSync(fd, buffer, offset, length, position),
    }),
    truncate: async (length) => fs.ftruncateSync(fd, length),
    chmod: async (mode) => fs.fchmodSync(fd, mode),
    chown: async (uid, gid) => fs.fchownSync(fd, uid, gid),
    utimes: async (atime, mtime) => fs.futimesSync(fd, atime, mtime),
    close: async () => fs.closeSync(fd),
  };
}
