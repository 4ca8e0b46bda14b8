// What an exec could leave on the node.
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { processes } from "@hawser/testing";

/** The stat lines of the zombies of these processes. */
export async function zombiesOf(parents: number[]): Promise<string[]> {
  const found: string[] = [];
  for (const { pid, ppid } of await processes()) {
    if (!parents.includes(ppid)) continue;
    const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
    if (stat.slice(stat.lastIndexOf(")") + 2).startsWith("Z")) found.push(stat);
  }
  return found;
}

/** The directory of the cgroup that a process of an exec is in, as the runtime sees it. */
export async function groupOf(pid: number, runtime: number): Promise<string[]> {
  const [groups, mounts] = await Promise.all([
    readFile(`/proc/${pid}/cgroup`, "utf8"),
    readFile(`/proc/${runtime}/mountinfo`, "utf8"),
  ]);
  const [, controller = "", path = ""] = /^\d+:([^:]*):(.*\/exec-.*)$/m.exec(groups) ?? [];
  const mount = mounts.split("\n").find((line) => {
    const [, type = ""] = line.split(" - ");
    return controller === "" ? type.startsWith("cgroup2 ") : type.startsWith("cgroup ") && type.includes(controller);
  });
  const directory = `/proc/${runtime}/root${mount?.split(" ")[4]}${path}`;
  return path && existsSync(directory) ? [directory] : [];
}
