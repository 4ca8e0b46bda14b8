import { opendir, readlink, stat } from "node:fs/promises";
import path from "node:path";

/** Links that are read side by side. */
const atOnce = 32;

/** How many descriptors the processes have. Undefined where the kernel does not tell: before Linux 6.2. Source: proc_pid_fd(5) */
export async function descriptorsTold(pids: readonly string[]): Promise<bigint | undefined> {
  const sizeOf = async (pid: string) => (await stat(`/proc/${pid}/fd`)).size;
  if ((await sizeOf("self")) === 0) return undefined;
  let sum = 0n;
  for (const pid of pids) sum += BigInt(await sizeOf(pid).catch(() => 0)); // it may have ended
  return sum;
}

/**
 * The descriptors of the processes, and how many of them are sockets, by looking at each. Undefined when there are more than
 * `most`, of which no more are looked at: a process may have a million.
 */
export async function descriptorsSeen(
  pids: readonly string[],
  most: number,
): Promise<{ descriptors: bigint; sockets: bigint } | undefined> {
  let [descriptors, sockets] = [0, 0];
  for (const pid of pids) {
    const links = await linksIn(`/proc/${pid}/fd`, most - descriptors);
    if (!links) return undefined;
    descriptors += links.length;
    for (let at = 0; at < links.length; at += atOnce) {
      const targets = await Promise.all(links.slice(at, at + atOnce).map((link) => readlink(link).catch(() => "")));
      sockets += targets.filter((target) => target.startsWith("socket:")).length;
    }
  }
  return { descriptors: BigInt(descriptors), sockets: BigInt(sockets) };
}

/** Undefined when there are more than `most`. */
async function linksIn(directory: string, most: number): Promise<string[] | undefined> {
  const links: string[] = [];
  try {
    for await (const { name } of await opendir(directory)) {
      if (links.length === most) return undefined;
      links.push(path.join(directory, name));
    }
  } catch {
    // The process has ended: what was seen is what it had.
  }
  return links;
}
