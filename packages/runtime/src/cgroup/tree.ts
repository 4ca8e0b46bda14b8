import { constants } from "node:fs";
import { open, readdir, readFile, rmdir } from "node:fs/promises";
import path from "node:path";

/**
 * What rmdir and reads say of a cgroup that is gone, going, or not empty; and of one that can never be, below a file or with too
 * long a name.
 */
const expected = new Set(["ENOENT", "EBUSY", "ENODEV", "ENOTEMPTY", "ENOTDIR", "ENAMETOOLONG"]);

/** The processes of one cgroup, by its directory, zombies not counted; none when it is gone. */
export async function pidsIn(directory: string): Promise<number[]> {
  const text = await readFile(path.join(directory, "cgroup.procs"), "utf8").catch(ignoreExpected);
  const pids = (text ?? "").split("\n").filter(Boolean).map(Number);
  const alive = await Promise.all(pids.map(isRunning));
  return pids.filter((_, index) => alive[index]);
}

/** The processes of a cgroup and of those below it; none when it is gone. */
export async function pidsBelow(directory: string): Promise<number[]> {
  const below = (await childrenOf(directory)).map(pidsBelow);
  return [...(await pidsIn(directory)), ...(await Promise.all(below)).flat()];
}

/**
 * SIGKILL to all that is in a cgroup2 group and below it, by the kernel at once: what forks meanwhile does not get away. Does
 * nothing where there is no such file, on cgroup v1 and before Linux 5.14, or where the kernel has it not: in a threaded group.
 */
export async function killAll(directory: string): Promise<void> {
  const file = await open(path.join(directory, "cgroup.kill"), constants.O_WRONLY).catch(ignoreExpected);
  await file
    ?.writeFile("1")
    .catch((error: NodeJS.ErrnoException) => error.code === "EOPNOTSUPP" || ignoreExpected(error))
    .finally(() => file.close());
}

/** Removes a cgroup that nothing is in. True when it is gone. */
export async function removeIfEmpty(directory: string): Promise<boolean> {
  try {
    await rmdir(directory);
    return true;
  } catch (error) {
    ignoreExpected(error as NodeJS.ErrnoException); // as all of rmdir's are
    const { code } = error as NodeJS.ErrnoException;
    return code !== "EBUSY" && code !== "ENOTEMPTY";
  }
}

/** Removes a cgroup and those below it, as far as nothing is in them. Idempotent. */
export async function removeTree(directory: string): Promise<void> {
  for (const child of await childrenOf(directory)) await removeTree(child);
  await removeIfEmpty(directory);
}

/** For a read or a change of a cgroup that may go meanwhile. */
export function ignoreExpected(error: NodeJS.ErrnoException): undefined {
  if (!expected.has(error.code ?? "")) throw error;
}

async function childrenOf(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => path.join(directory, name));
}

async function isRunning(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  return stat !== undefined && !/\) [ZX]/.test(stat);
}
