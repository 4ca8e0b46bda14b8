// What a cluster could leave on this machine, a line each: to compare before and after.
import { readdir, readFile } from "node:fs/promises";
import { networkInterfaces } from "node:os";
import { must, processes } from "@hawser/testing";

/** Processes by their whole command line, mounts, interfaces, iptables rules, network namespaces, cgroups. */
export async function residue(dataDir: string): Promise<string[]> {
  const found: string[] = [];
  for (const { pid, args } of await processes()) {
    const environment = await readFile(`/proc/${pid}/environ`, "latin1").catch(() => "");
    if (args.includes(dataDir) || environment.includes(dataDir)) found.push(`process ${pid} ${args}`);
  }
  for (const line of (await readFile("/proc/self/mountinfo", "utf8")).split("\n")) {
    if (line.includes(dataDir) || line.includes("/hawser")) found.push(`mount ${line.split(" ")[4]}`);
  }
  for (const name of Object.keys(networkInterfaces())) found.push(`interface ${name}`);
  for (const table of ["filter", "nat", "mangle"]) {
    for (const rule of (await must(["iptables-save", "-t", table])).split("\n")) {
      if (rule.startsWith("-A") || /^:\S+ -/.test(rule)) found.push(`${table} ${rule.replace(/ \[.*/, "")}`);
    }
  }
  for (const name of await readdir("/run/netns").catch(() => [])) found.push(`network namespace ${name}`);
  for (const name of await readdir("/run/hawser").catch(() => [])) found.push(`/run/hawser/${name}`);
  for (const hierarchy of await readdir("/sys/fs/cgroup")) {
    for (const name of await readdir(`/sys/fs/cgroup/${hierarchy}`).catch(() => [])) {
      if (name.startsWith("hawser")) found.push(`cgroup ${hierarchy}/${name}`);
    }
  }
  return found.sort();
}
