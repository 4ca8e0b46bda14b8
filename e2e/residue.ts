// What a cluster could leave on this machine, a line each.
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { must, processes } from "@hawser/testing";

/**
 * What bears one cluster's names, other clusters being none of our business: processes, mounts, interfaces, iptables
 * rules, network namespaces, cgroups.
 */
export async function residue(dataDir: string): Promise<string[]> {
  const digits = (text: string) => createHash("sha256").update(text).digest("hex").slice(0, 8);
  const names = [dataDir, digits(dataDir), digits(join(dataDir, "runtime"))];
  const ours = (line: string) => names.some((name) => line.includes(name));
  const found: string[] = [];
  for (const { pid, args } of await processes()) {
    const environment = await readFile(`/proc/${pid}/environ`, "latin1").catch(() => "");
    if (ours(args) || ours(environment)) found.push(`process ${pid} ${args}`);
  }
  const lines = [
    ...(await readFile("/proc/self/mountinfo", "utf8")).split("\n"),
    ...(await must(["ip", "-o", "link"])).split("\n"),
    ...(await must(["ip", "netns"])).split("\n"),
    ...(await must(["iptables-save"])).split("\n"),
  ];
  found.push(...lines.filter(ours));
  for (const folder of ["/run/hawser", "/run/netns", "/sys/fs/cgroup", ...(await hierarchies())]) {
    for (const name of await readdir(folder).catch(() => [])) if (ours(name)) found.push(join(folder, name));
  }
  return found;
}

async function hierarchies(): Promise<string[]> {
  return (await readdir("/sys/fs/cgroup")).map((name) => join("/sys/fs/cgroup", name));
}
