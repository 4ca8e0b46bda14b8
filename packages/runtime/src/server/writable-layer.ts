import { constants } from "node:fs";
import { type FileHandle, lstat, open, opendir } from "node:fs/promises";
import { O_PATH } from "@hawser/files";
import type { Logger } from "@hawser/trace";

const { O_DIRECTORY, O_NOFOLLOW } = constants;
/** Entries one look may visit: a container that writes millions of files is reported too small, not waited for. */
const maxEntries = 50_000;
/** How long a result is good for, milliseconds: half of what containerd's collector takes. */
const validity = 5000;
/** Containers whose result is kept. */
const maxRemembered = 1000;
/**
 * How long a path below an open directory may get, bytes: what lies deeper is looked at from there. The kernel takes 4,096 in
 * all.
 */
const maxBelow = 2000;
/** Directories open at a time in one look; what would need more is not counted: at 64, some 128,000 bytes of path. */
const maxOpen = 64;

const separator = Buffer.from("/");

export interface LayerUsage {
  bytes: bigint;
  inodes: bigint;
  /** When it was measured, nanoseconds since 1970. */
  at: bigint;
}

const measured = new Map<string, LayerUsage>();

/** Those that could not be measured: said once of each. */
const complained = new Set<string>();

/**
 * What a container has written: the blocks and inodes below its overlay's upper directory, however deep they lie. Undefined while
 * it is being removed, and when it cannot be measured, which the log says once.
 */
export async function writableLayer(
  { log }: { log: Pick<Logger, "warn"> },
  upper: string,
  now: bigint,
): Promise<LayerUsage | undefined> {
  const known = measured.get(upper);
  if (known && now - known.at < BigInt(validity) * 1_000_000n) return known;
  try {
    const usage = { ...(await measure(upper)), at: now };
    if (measured.size >= maxRemembered) measured.clear();
    measured.set(upper, usage);
    return usage;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT" || complained.has(upper)) return undefined;
    if (complained.size >= maxRemembered) complained.clear();
    complained.add(upper);
    log.warn("what a container has written cannot be measured", { upper, error });
    return undefined;
  }
}

/** An open directory, and how many of those to be looked at are named by it. */
interface Base {
  handle: FileHandle;
  users: number;
}

async function measure(root: string): Promise<{ bytes: bigint; inodes: bigint }> {
  let [bytes, inodes] = [0n, 0n];
  const bases = new Set<Base>();
  const todo: { base: Base; below: Buffer }[] = [];
  const openBase = async (path: Buffer) => {
    const base = { handle: await open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW), users: 1 };
    bases.add(base);
    todo.push({ base, below: Buffer.from(".") });
  };
  try {
    await openBase(Buffer.from(root));
    for (let next = todo.pop(); next; next = todo.pop()) {
      const { base, below } = next;
      const here = Buffer.concat([Buffer.from(`/proc/self/fd/${base.handle.fd}/`), below, separator]);
      // Path and names as bytes: where the file system does not tell types, Node joins the two to ask.
      const entries = await opendir(here, { encoding: "buffer" as BufferEncoding }).catch(ignoreGone);
      for await (const entry of entries ?? []) {
        if (inodes >= maxEntries) return { bytes, inodes };
        const name = entry.name as unknown as Buffer; // by the encoding
        const full = Buffer.concat([here, name]);
        const status = await lstat(full, { bigint: true }).catch(ignoreGone);
        if (!status) continue;
        bytes += status.blocks * 512n;
        inodes++;
        if (!status.isDirectory()) continue;
        const deeper = Buffer.concat([below, separator, name]);
        if (deeper.length <= maxBelow) {
          base.users++;
          todo.push({ base, below: deeper });
        } else if (bases.size < maxOpen) await openBase(full).catch(ignoreGone);
      }
      if (--base.users > 0) continue;
      bases.delete(base);
      await base.handle.close();
    }
  } finally {
    await Promise.all([...bases].map(({ handle }) => handle.close()));
  }
  return { bytes, inodes };
}

/** The container has removed it since its name was read, or has put something else there. */
function ignoreGone(error: NodeJS.ErrnoException): undefined {
  if (!["ENOENT", "ENOTDIR", "ELOOP"].includes(error.code ?? "")) throw error;
}
