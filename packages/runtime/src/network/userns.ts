import { open, readFile } from "node:fs/promises";
import { type IDMappings, writeMappings } from "../native/idmap.ts";
import { closeQuietly } from "../native/libc.ts";
import { MS, mount } from "../native/mount.ts";
import { openPipe, readable } from "../native/pipe.ts";
import type { Reaper } from "../native/reaper.ts";
import { killQuietly, start, writeAll } from "../native/spawn.ts";
import { removeNetns } from "./netns.ts";

/** How long the making of namespaces may take, milliseconds. */
const patience = 10_000;

/** Where a pod's user namespace is pinned: beside its network namespace. */
export function usernsFile(netns: string): string {
  return `${netns}.user`;
}

/** Whose namespace a file's name says it is. */
export function podOfNamespace(name: string): string {
  return name.replace(/\.user$/, "");
}

/**
 * Makes a user namespace, and a network namespace that belongs to it, and pins both: the network to `netns`, the users
 * beside it. A network namespace made otherwise would be the node's, and its pod could not mount its own /sys.
 *
 * Throws the system's error for mappings that cannot be, `signal`'s reason when it fires, and an Error after 10 s; nothing is
 * left then.
 */
export async function createUserNamespaces(
  dependencies: { reaper: Reaper },
  { netns, mappings, signal }: { netns: string; mappings: IDMappings; signal?: AbortSignal | undefined },
): Promise<void> {
  await using undo = new AsyncDisposableStack();
  for (const file of [netns, usernsFile(netns)]) {
    await (await open(file, "wx", 0o444)).close();
    undo.defer(() => removeNetns(file));
  }
  await withinNewNamespaces({ ...dependencies, signal }, (pid) => {
    writeMappings(pid, mappings);
    mount({ source: `/proc/${pid}/ns/net`, target: netns, flags: MS.bind });
    mount({ source: `/proc/${pid}/ns/user`, target: usernsFile(netns), flags: MS.bind });
  });
  undo.move(); // they stand
}

/**
 * Calls `body` with a process that lives in namespaces of its own. A process of several threads, as ours, cannot make a user
 * namespace, so a child does: cat repeats what it is told once unshare has become it, inside.
 */
async function withinNewNamespaces(
  { reaper, signal }: { reaper: Reaper; signal: AbortSignal | undefined },
  body: (pid: number) => void,
): Promise<void> {
  const late = AbortSignal.timeout(patience);
  const over = signal ? AbortSignal.any([signal, late]) : late;
  over.throwIfAborted(); // one that was aborted before never says so again
  const [toChild, fromChild] = [openPipe(), openPipe()];
  const output = readable(fromChild.read);
  try {
    const args = ["unshare", "--user", "--net", "--", "cat"];
    const child = await start(
      { reaper },
      { path: "/usr/bin/env", args, stdio: [toChild.read, fromChild.write, -1] },
      over,
    );
    try {
      closeQuietly(toChild.read, fromChild.write);
      [toChild.read, fromChild.write] = [-1, -1];
      writeAll(toChild.write, Buffer.from("\n"));
      const stop = () => output.destroy();
      over.addEventListener("abort", stop, { once: true });
      if (over.aborted) stop();
      const answer = await output[Symbol.asyncIterator]()
        .next()
        .catch(() => undefined); // destroyed
      over.removeEventListener("abort", stop);
      if (late.aborted && !answer?.value)
        throw new Error(`unshare makes no user namespace within ${patience / 1000} s`);
      signal?.throwIfAborted();
      if (!answer || answer.done)
        throw new Error(`unshare cannot make a user namespace: exit status ${await child.exited}`);
      body(child.pid);
    } finally {
      killQuietly(child.pid, "SIGKILL");
      await child.exited;
    }
  } finally {
    closeQuietly(toChild.read, fromChild.write, toChild.write);
    output.destroy();
  }
}

/** Lets both go. Idempotent. */
export async function removeNamespaces(netns: string): Promise<void> {
  await removeNetns(usernsFile(netns));
  await removeNetns(netns);
}

/** Does this node allow user namespaces? */
export async function hasUserNamespaces(): Promise<boolean> {
  const allowed = await readFile("/proc/sys/user/max_user_namespaces", "utf8").catch(() => "0");
  return Number(allowed) > 0;
}
