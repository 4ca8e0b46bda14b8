import koffi from "koffi";

/** The C library's calls that Node does not have. Paths may be byte strings, so they go in as buffers. */
const libc = koffi.load(null);
const cMount = libc.func(
  "int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)",
);
const cUmount2 = libc.func("int umount2(const char *target, int flags)");
const cMknod = libc.func("int mknod(const uint8_t *path, unsigned int mode, unsigned long dev)");
const cSetxattr = libc.func(
  "int lsetxattr(const uint8_t *path, const char *name, const uint8_t *value, size_t size, int flags)",
);
const cSyncfs = libc.func("int syncfs(int fd)");

const cTrim = optional("int malloc_trim(size_t pad)");

const mntDetach = 2;
const umountNoFollow = 8;
const charDevice = 0o020000;
const names = new Map(Object.entries(koffi.os.errno).map(([name, number]) => [number, name]));

/** A system call failed. `code` is errno's name, as in Node's own errors. */
export class SystemError extends Error {
  override readonly name = "SystemError";
  readonly code: string;
  readonly errno: number;

  constructor(call: string, errno: number) {
    const code = names.get(errno) ?? `errno ${errno}`;
    super(`${call}: ${code}`);
    this.code = code;
    this.errno = errno;
  }
}

/** Mounts in the calling process' mount namespace. 0.2 ms, so it may block. Throws SystemError. */
export function mount(source: string, target: string, type: string, data: string): void {
  if (cMount(source, target, type, 0, data) !== 0) throw new SystemError(`mount ${type} on ${target}`, koffi.errno());
}

/** Unmounts everything mounted on `target`, busy or not. Fine when nothing is, or it does not exist. */
export function unmountAll(target: string): void {
  for (let mounts = 0; mounts < 64; mounts++) {
    if (cUmount2(target, mntDetach | umountNoFollow) === 0) continue;
    const error = new SystemError(`umount ${target}`, koffi.errno());
    if (error.code === "EINVAL" || error.code === "ENOENT") return;
    throw error;
  }
  throw new Error(`umount ${target}: more than 64 mounts lie on it`);
}

/** Makes overlayfs' whiteout: a character device 0/0. */
export function makeWhiteout(path: Buffer): void {
  if (cMknod(terminated(path), charDevice, 0) !== 0) {
    throw new SystemError(`mknod ${path.toString("latin1")}`, koffi.errno());
  }
}

export function setXattr(path: Buffer, name: string, value: string): void {
  const bytes = Buffer.from(value);
  if (cSetxattr(terminated(path), name, bytes, bytes.length, 0) !== 0) {
    throw new SystemError(`setxattr ${name} on ${path.toString("latin1")}`, koffi.errno());
  }
}

/** Writes out everything the file system of an open file holds in memory. Off the event loop. */
export function syncfs(fd: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  cSyncfs.async(fd, (error: unknown, result: number) => {
    if (error) reject(error instanceof Error ? error : new Error(String(error)));
    else if (result !== 0) reject(new Error("syncfs failed"));
    else resolve();
  });
  return promise;
}

/**
 * Gives memory that was freed back to the system. After a large image glibc keeps some 20 MB of it, and each fork of
 * ours would copy its page tables. A few milliseconds, off the event loop; nothing happens where the C library is another.
 */
export function trimMemory(): void {
  cTrim?.async(0, () => undefined);
}

function optional(signature: string) {
  try {
    return libc.func(signature);
  } catch {
    return undefined; // musl has no such function
  }
}

function terminated(path: Buffer): Buffer {
  return Buffer.concat([path, Buffer.alloc(1)]);
}
