import { getSystemErrorName } from "node:util";
import koffi from "koffi";

// Every declaration below is libc's; the casts give koffi's untyped functions the types of their C prototypes.
const library = koffi.load("libc.so.6");

/** Bytes of a C object that only libc looks into. */
export type Opaque = Uint8Array;

/** A function that takes too long for the event loop: koffi calls it on another thread. */
interface Slow<Arguments extends unknown[] = [number]> {
  async(...argumentsAndDone: [...Arguments, done: (error: unknown, result: number) => void]): void;
}

export const libc = {
  pipe2: library.func("int pipe2(_Out_ int *fds, int flags)") as (fds: [number, number], flags: number) => number,
  fcntl: library.func("int fcntl(int fd, int command, long argument)") as (
    fd: number,
    command: number,
    argument: number,
  ) => number,
  ioctl: library.func("int ioctl(int fd, unsigned long request, void *argument)") as (
    fd: number,
    request: number,
    argument: Opaque,
  ) => number,
  eventfd: library.func("int eventfd(unsigned int value, int flags)") as (value: number, flags: number) => number,
  close: library.func("int close(int fd)") as (fd: number) => number,
  open: library.func("int open(const char *path, int flags, int mode)") as (
    path: string,
    flags: number,
    mode: number,
  ) => number,
  flock: library.func("int flock(int fd, int operation)") as (fd: number, operation: number) => number,
  posixSpawn: library.func(
    "int posix_spawn(_Out_ int *pid, const char *path, void *actions, void *attributes, const char **argv, const char **envp)",
  ) as (
    pid: [number],
    path: string,
    actions: Opaque,
    attributes: Opaque,
    argv: (string | null)[],
    envp: (string | null)[],
  ) => number,
  actionsInit: library.func("int posix_spawn_file_actions_init(void *actions)") as (actions: Opaque) => number,
  actionsDup2: library.func("int posix_spawn_file_actions_adddup2(void *actions, int from, int to)") as (
    actions: Opaque,
    from: number,
    to: number,
  ) => number,
  actionsChdir: library.func("int posix_spawn_file_actions_addchdir_np(void *actions, const char *path)") as (
    actions: Opaque,
    path: string,
  ) => number,
  actionsCloseFrom: library.func("int posix_spawn_file_actions_addclosefrom_np(void *actions, int from)") as (
    actions: Opaque,
    from: number,
  ) => number,
  actionsDestroy: library.func("int posix_spawn_file_actions_destroy(void *actions)") as (actions: Opaque) => number,
  attributesInit: library.func("int posix_spawnattr_init(void *attributes)") as (attributes: Opaque) => number,
  attributesFlags: library.func("int posix_spawnattr_setflags(void *attributes, short flags)") as (
    attributes: Opaque,
    flags: number,
  ) => number,
  attributesDefaults: library.func("int posix_spawnattr_setsigdefault(void *attributes, void *signals)") as (
    attributes: Opaque,
    signals: Opaque,
  ) => number,
  attributesMask: library.func("int posix_spawnattr_setsigmask(void *attributes, void *signals)") as (
    attributes: Opaque,
    signals: Opaque,
  ) => number,
  sigfillset: library.func("int sigfillset(void *signals)") as (signals: Opaque) => number,
  waitpid: library.func("int waitpid(int pid, void *status, int options)") as unknown as Slow<
    [pid: number, status: null, options: number]
  >,
  waitid: library.func("int waitid(int type, unsigned int id, void *info, int options)") as (
    type: number,
    id: number,
    info: Opaque,
    options: number,
  ) => number,
  execve: library.func("int execve(const char *path, const char **argv, const char **envp)") as (
    path: string,
    argv: (string | null)[],
    envp: (string | null)[],
  ) => number,
  mount: library.func(
    "int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)",
  ) as (source: string, target: string, type: string | null, flags: number, data: string | null) => number,
  umount2: library.func("int umount2(const char *target, int flags)") as unknown as Slow<
    [target: string, flags: number]
  >,
  umount2Now: library.func("int umount2(const char *target, int flags)") as (target: string, flags: number) => number,
  chdir: library.func("int chdir(const char *path)") as (path: string) => number,
  unshare: library.func("int unshare(int flags)") as (flags: number) => number,
  setns: library.func("int setns(int fd, int type)") as (fd: number, type: number) => number,
  memfdCreate: library.func("int memfd_create(const char *name, unsigned int flags)") as (
    name: string,
    flags: number,
  ) => number,
  socketpair: library.func("int socketpair(int domain, int type, int protocol, _Out_ int *fds)") as (
    domain: number,
    type: number,
    protocol: number,
    fds: [number, number],
  ) => number,
  socket: library.func("int socket(int domain, int type, int protocol)") as (
    domain: number,
    type: number,
    protocol: number,
  ) => number,
  connect: library.func("int connect(int fd, void *address, unsigned int length)") as (
    fd: number,
    address: Opaque,
    length: number,
  ) => number,
  getsockopt: library.func("int getsockopt(int fd, int level, int name, void *value, void *length)") as (
    fd: number,
    level: number,
    name: number,
    value: Opaque,
    length: Opaque,
  ) => number,
  poll: library.func("int poll(void *fds, unsigned long count, int timeout)") as (
    fds: Opaque,
    count: number,
    timeout: number,
  ) => number,
  sendmsg: library.func("long sendmsg(int fd, void *message, int flags)") as (
    fd: number,
    message: Opaque,
    flags: number,
  ) => number,
  recvmsg: library.func("long recvmsg(int fd, void *message, int flags)") as (
    fd: number,
    message: Opaque,
    flags: number,
  ) => number,
  schedSetscheduler: library.func("int sched_setscheduler(int pid, int policy, void *parameters)") as (
    pid: number,
    policy: number,
    parameters: Opaque,
  ) => number,
  prctl: library.func("int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)") as (
    option: number,
    a: number,
    b: number,
    c: number,
    d: number,
  ) => number,
  syscall3: library.func("long syscall(long number, long a, long b, long c, long d)") as (
    number: number,
    a: number,
    b: number,
    c: number,
    d: number,
  ) => number,
  openat2: library.func(
    "long syscall(long number, int directory, const char *path, void *how, unsigned long size)",
  ) as (number: number, directory: number, path: string, how: Opaque, size: number) => number,
  // These two, and capset, are of the calling thread alone.
  setfsuid: library.func("int setfsuid(unsigned int uid)") as (uid: number) => number,
  setfsgid: library.func("int setfsgid(unsigned int gid)") as (gid: number) => number,
  capset: library.func("int capset(void *header, void *data)") as (header: Opaque, data: Opaque) => number,
  mkdirat: library.func("int mkdirat(int directory, const char *path, unsigned int mode)") as (
    directory: number,
    path: string,
    mode: number,
  ) => number,
  // Paths of these may be any bytes, ended by a NUL.
  mknod: library.func("int mknod(const uint8_t *path, unsigned int mode, unsigned long device)") as (
    path: Opaque,
    mode: number,
    device: number,
  ) => number,
  lsetxattr: library.func(
    "int lsetxattr(const uint8_t *path, const char *name, const uint8_t *value, size_t size, int flags)",
  ) as (path: Opaque, name: string, value: Opaque, size: number, flags: number) => number,
  syncfs: library.func("int syncfs(int fd)") as unknown as Slow,
  mallocTrim: library.func("int malloc_trim(size_t pad)") as unknown as Slow,
};

/** The address of a buffer, for C structures that point to another. The buffer must stay referenced by the caller. */
export function addressOf(buffer: Opaque): bigint {
  return koffi.address(buffer);
}

/** errno of the last failed call. Read it before anything else is called. */
export function errno(): number {
  return koffi.errno();
}

/** errno of the last failed call, as the error Node would throw: `code`, `errno`, `syscall`. */
export function lastError(syscall: string, what: string): NodeJS.ErrnoException {
  return systemError(koffi.errno(), syscall, what);
}

export function systemError(errno: number, syscall: string, what: string): NodeJS.ErrnoException {
  const code = getSystemErrorName(-errno);
  return Object.assign(new Error(`${syscall} ${what}: ${code}`), { code, errno: -errno, syscall });
}

export function closeQuietly(...fds: (number | undefined)[]): void {
  for (const fd of fds) if (fd !== undefined && fd >= 0) libc.close(fd);
}
