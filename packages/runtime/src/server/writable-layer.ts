import { lstat, opendir } from "node:fs/promises";
import path from "node:path";

/** Entries one look may visit: a container that writes millions of files is reported too small, not waited for. */
const maxEntries = 50_000;
/** How long a result is good for, milliseconds: half of what containerd's collector takes. */
const validity = 5000;
/** Containers whose result is kept. */
const maxRemembered = 1000;

export interface LayerUsage {
  bytes: bigint;
  inodes: bigint;
  /** When it was measured, nanoseconds since 1970. */
  at: bigint;
}

const measured = new Map<string, LayerUsage>();

/** What a container has written: the blocks and inodes below its overlay's upper directory. */
export async function writableLayer(upper: string, now: bigint): Promise<LayerUsage | undefined> {
  const known = measured.get(upper);
  if (known && now - known.at < BigInt(validity) * 1_000_000n) return known;
  try {
    const usage = { ...(await measure(upper)), at: now };
    if (measured.size >= maxRemembered) measured.clear();
    measured.set(upper, usage);
    return usage;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined; // it is being removed
    throw error;
  }
}

async function measure(root: string): Promise<{ bytes: bigint; inodes: bigint }> {
  const todo = [root];
  let [bytes, inodes] = [0n, 0n];
  for (let directory = todo.pop(); directory !== undefined; directory = todo.pop()) {
    const entries = await opendir(directory).catch((error: NodeJS.ErrnoException) => {
      if (directory !== root) return ignoreGone(error);
      throw error;
    });
    for await (const entry of entries ?? []) {
      if (inodes >= maxEntries) return { bytes, inodes };
      const full = path.join(directory, entry.name);
      const status = await lstat(full, { bigint: true }).catch(ignoreGone);
      if (!status) continue;
      bytes += status.blocks * 512n;
      inodes++;
      if (entry.isDirectory()) todo.push(full);
    }
  }
  return { bytes, inodes };
}

/** The container has removed it since its name was read. */
function ignoreGone(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}
