import { openSync } from "node:fs";
import { open, rm } from "node:fs/promises";
import { closeQuietly, lastError, libc } from "../native/libc.ts";
import { fsType, MS, mount, typeOf, unmount } from "../native/mount.ts";
import type { Reaper } from "../native/reaper.ts";
import { outputOf, runWithin } from "../native/spawn.ts";
import { workingOn } from "../native/worker.ts";
import { turn } from "../turns.ts";

const CLONE_NEWNET = 0x40000000;
/** How long the kernel may take to make one, milliseconds. */
const patience = 30_000;

let home: number | undefined;

/**
 * Runs `body` with this thread in the network namespace `entered` leads to. It must not wait: everything else
 * this process does would happen there too. When the way back is barred the process ends, since no socket
 * it opens from then on could be trusted.
 */
function elsewhere<T>(enter: () => void, body: () => T): T {
  home ??= openSync("/proc/self/ns/net", "r");
  enter();
  try {
    return body();
  } finally {
    if (libc.setns(home, CLONE_NEWNET) < 0) process.abort();
  }
}

/**
 * Makes a network namespace and pins it to `file`, which keeps it alive without a process: by hawser-exec, if there is one, since
 * the kernel may take 30 ms for it, and else by this thread. `id` is whose it is.
 */
export async function createNetns(
  { reaper, program }: { reaper: Reaper; program: string | undefined },
  { file, id }: { file: string; id: string },
): Promise<void> {
  await (await open(file, "wx", 0o444)).close();
  try {
    if (program !== undefined) {
      const making = { path: program, name: "hawser-exec", args: ["netns", file], env: workingOn(id) };
      outputOf(making, await runWithin({ reaper }, patience, making));
      return;
    }
    await turn();
    elsewhere(
      () => {
        if (libc.unshare(CLONE_NEWNET) < 0) throw lastError("unshare", "of the network");
      },
      () => mount({ source: "/proc/thread-self/ns/net", target: file, flags: MS.bind }),
    );
  } catch (error) {
    await rm(file, { force: true });
    throw error;
  }
}

/** Lets a network namespace go. Idempotent. */
export async function removeNetns(file: string): Promise<void> {
  await unmount(file);
  await rm(file, { force: true });
}

/** Removes a file that a crash has left before a namespace was pinned to it: plugins choke on it. Idempotent. */
export async function dropUnpinned(file: string): Promise<void> {
  const type = await typeOf(file);
  if (type !== undefined && type !== fsType.nsfs) await rm(file, { force: true });
}

/** Runs `body`, which must not wait, inside a pinned network namespace: a socket made there stays there. */
export function inNetns<T>(file: string, body: () => T): T {
  const fd = openSync(file, "r");
  try {
    return elsewhere(() => {
      if (libc.setns(fd, CLONE_NEWNET) < 0) throw lastError("setns", file);
    }, body);
  } finally {
    closeQuietly(fd);
  }
}
