import { readdir, readFile } from "node:fs/promises";

/** A word no other process has, for `sleep`. */
export function newMark(): string {
  return String(10_000_000 + Math.floor(Math.random() * 89_000_000));
}

/** Pids, as this machine has them, of processes with this argument in their command line. */
export async function pidsWith(mark: string): Promise<number[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")));
  return pids.filter((_, index) => lines[index]?.split("\0").includes(mark)).map(Number);
}
