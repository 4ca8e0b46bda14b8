import { openSync } from "node:fs";
import { closeQuietly, lastError, libc } from "../native/libc.ts";
import { MS, mount, mountsBelow, unmountHere } from "../native/mount.ts";
import type { Reaper } from "../native/reaper.ts";
import { type Child, type Command, spawn, start } from "../native/spawn.ts";

const CLONE_FS = 0x200;
const CLONE_NEWNS = 0x20000;

/** Where a hybrid host has its cgroup2: beside the v1 hierarchies. */
export const unifiedMount = "/sys/fs/cgroup/unified";

/**
 * How a host looks to the OCI runtime. crun refuses a host with cgroup v1 and v2 side by side ("cgroups in hybrid
 * mode not supported"); it gets a mount namespace in which the v2 half is covered. We ourselves, conmon and all
 * mounts stay in the host's namespace.
 */
export interface View extends Disposable {
  /** Starts a program in it. Throws the signal's reason too. */
  start(dependencies: { reaper: Reaper }, command: Command, options: StartInView): Promise<Child>;
  /**
   * For those whom others start, in the view with the mounts of now: what goes before their command line. To be disposed when
   * they have started.
   */
  snapshot(): { prefix: string[] } & Disposable;
  /** Is it without the v2 half of a hybrid host? */
  hybrid: boolean;
}

export interface StartInView {
  /** Those there were when the view was opened, or `now`, as who makes a container has to see them. */
  mounts: "lasting" | "now";
  signal?: AbortSignal | undefined;
}

/** The host as it is. */
export const plainView: View = {
  start: (dependencies, command, { signal }) => start(dependencies, command, signal),
  snapshot: () => ({ prefix: [], [Symbol.dispose]() {} }),
  hybrid: false,
  [Symbol.dispose]() {},
};

/**
 * A view without the v2 half of a hybrid host. `nsenterPath` is for those whom others start; `hidden` are directories
 * whose mounts the lasting view must not keep alive: containers' root file systems.
 */
export async function openHybridView(options: { nsenterPath: string; hidden: string[] }): Promise<View> {
  const lasting = openNamespace();
  try {
    const mounts = (await Promise.all(options.hidden.map((directory) => mountsBelow(directory)))).flat();
    inNamespace(lasting, () => {
      // What goes on the node goes here too, but nothing that is done here reaches the node.
      mount({ source: "none", target: "/", flags: MS.slave | MS.recursive });
      for (const path of mounts) unmountHere(path);
    });
  } catch (error) {
    closeQuietly(lasting);
    throw error;
  }
  return {
    async start(dependencies, command, { mounts, signal }) {
      const sight = mounts === "now" ? ("without unified" as const) : { namespace: lasting };
      const otherwise: typeof spawn = (...its) => {
        const fd = mounts === "now" ? openNamespace() : lasting;
        try {
          return inNamespace(fd, () => spawn(...its));
        } finally {
          if (fd !== lasting) closeQuietly(fd);
        }
      };
      return await start(dependencies, { ...command, sight, otherwise }, signal);
    },
    snapshot() {
      const fd = openNamespace();
      return {
        prefix: [options.nsenterPath, `--mount=/proc/${process.pid}/fd/${fd}`],
        [Symbol.dispose]: () => closeQuietly(fd),
      };
    },
    hybrid: true,
    [Symbol.dispose]: () => closeQuietly(lasting),
  };
}

/** A copy of the host's mount namespace with the v2 half covered: a descriptor, closed on exec. */
function openNamespace(): number {
  return elsewhere(
    () => {
      if (libc.unshare(CLONE_NEWNS) < 0) throw lastError("unshare", "of the mounts");
    },
    () => {
      mount({ source: "none", target: unifiedMount, flags: MS.private }); // else the cover would reach the host
      mount({ source: "tmpfs", target: unifiedMount, type: "tmpfs", data: "mode=755,size=1m" });
      return openSync("/proc/thread-self/ns/mnt", "r");
    },
  );
}

function inNamespace<T>(fd: number, body: () => T): T {
  return elsewhere(() => {
    if (libc.setns(fd, CLONE_NEWNS) < 0) throw lastError("setns", "of the mounts");
  }, body);
}

let home: { fd: number; directory: string } | undefined;

/**
 * Runs `body` with this thread in another mount namespace. Should the way back be barred, the process ends:
 * nothing it would do from then on would be where it should.
 */
function elsewhere<T>(enter: () => void, body: () => T): T {
  // A namespace can be joined only by a thread that shares root and working directory with no other. Those that it has
  // started since the last time share them: a worker, an inspector.
  if (libc.unshare(CLONE_FS) < 0) throw lastError("unshare", "of the working directory");
  home ??= { fd: openSync("/proc/thread-self/ns/mnt", "r"), directory: process.cwd() };
  const { fd, directory } = home;
  try {
    enter();
    return body();
  } finally {
    if (libc.setns(fd, CLONE_NEWNS) < 0) process.abort();
    libc.chdir(directory);
  }
}
