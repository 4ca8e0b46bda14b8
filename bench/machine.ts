import { readFile } from "node:fs/promises";
import { arch, cpus, release, totalmem } from "node:os";
import { must } from "@hawser/testing";

/** What the numbers were measured on, a line each: a table means little without it. */
export async function describeMachine(): Promise<string[]> {
  const system = /^PRETTY_NAME="?([^"\n]*)/m.exec(await readFile("/etc/os-release", "utf8"))?.[1] ?? "Linux";
  const model = cpus()[0]?.model.trim() ?? "unknown";
  const packages = ["crun", "runc", "conmon", "containernetworking-plugins"];
  // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query's own placeholders
  const versions = await must(["dpkg-query", "-W", "-f", "${Package} ${Version}, ", ...packages]);
  return [
    `${system}, kernel ${release()}, ${arch()}, ${cpus().length} CPUs (${model}), ${Math.round(totalmem() / 2 ** 30)} GB`,
    `Node ${process.versions.node}; ${versions.replace(/, $/, "")}`,
    `${new Date().toISOString().slice(0, 10)}, load average before: ${(await readFile("/proc/loadavg", "utf8")).split(" ")[0]}`,
  ];
}
