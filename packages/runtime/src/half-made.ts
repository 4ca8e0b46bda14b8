import { readdir, readFile } from "node:fs/promises";

/** The conmon of a container that has no record, by its command line; undefined when there is none. */
export async function halfMadeConmon(id: string): Promise<number | undefined> {
  for (const { pid, args } of await processes()) if (args[0]?.endsWith("conmon") && args.includes(id)) return pid;
  return undefined;
}

/** Every process of the node with its command line. */
export async function processes(): Promise<{ pid: number; args: string[] }[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")));
  return lines.flatMap((line, index) => (line ? [{ pid: Number(pids[index]), args: line.split("\0") }] : []));
}
