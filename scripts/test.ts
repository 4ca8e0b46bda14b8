// Runs every test, or those whose path holds one of the words given, and then looks whether they left anything behind:
// a process of a cluster, a mount, a network namespace, an interface. One file at a time: the machine is part of what
// is tested.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { glob, readFile } from "node:fs/promises";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { run } from "@hawser/testing";

process.chdir(join(import.meta.dirname, ".."));
const patterns = ["packages/*/src/**/*.test.ts", "scripts/*.test.ts", "conformance/**/*.test.ts", "e2e/**/*.test.ts"];
/** For one test or hook, milliseconds. */
const timeout = 300_000;

const words = process.argv.slice(2);
const files: string[] = [];
for (const pattern of patterns) {
  for (const file of (await Array.fromAsync(glob(pattern))).sort()) {
    if (words.length === 0 || words.some((word) => file.includes(word))) files.push(file);
  }
}
if (files.length === 0) throw new Error(`no test file has ${words.join(" or ")} in its path`);

const before = await residue();
const runner = spawn(process.execPath, ["--test", "--test-concurrency=1", `--test-timeout=${timeout}`, ...files], {
  stdio: "inherit",
});
const [code] = await once(runner, "exit");
const left = [...(await residue())].filter((item) => !before.has(item));
for (const item of left) console.error(`left behind by the tests: ${item}`);
process.exitCode = code === 0 && left.length > 0 ? 1 : (code ?? 1);

/** What a test could leave on this machine, a line each. */
async function residue(): Promise<Set<string>> {
  const found = new Set<string>();
  const { stdout: processes } = await run(["ps", "-eo", "pid=,args="]);
  for (const line of processes.split("\n")) {
    if (/\bhawser-(apiserver|kubelet|runtime)\b|\bconmon\b|docker-registry serve|containerd/.test(line)) {
      found.add(`process ${line.trim()}`);
    }
  }
  for (const line of (await readFile("/proc/self/mountinfo", "utf8")).split("\n")) {
    const point = line.split(" ")[4];
    if (point) found.add(`mount ${point}`);
  }
  for (const name of Object.keys(networkInterfaces())) found.add(`interface ${name}`);
  const { stdout: namespaces } = await run(["ip", "netns", "list"]);
  for (const line of namespaces.split("\n")) if (line) found.add(`network namespace ${line.split(" ")[0]}`);
  return found;
}
