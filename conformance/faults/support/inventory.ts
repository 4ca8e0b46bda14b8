import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { lstat, opendir, readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { eventually } from "@hawser/testing";

const execute = promisify(execFile);
const cgroups = "/sys/fs/cgroup";
/** How long each part of an inventory may take, milliseconds, on whatever machine: one that hangs is named. */
const patience = 60_000;
/** How long what ends beside a call may take, milliseconds, on a machine that is busy with other things too. */
const settlingPatience = 15_000;

/** Everything a runtime of this root has on the node, a line each, sorted: files, mounts, cgroups with how many processes, interfaces, rules. */
export async function inventory(root: string): Promise<string[]> {
  const hash = createHash("sha256").update(root).digest("hex").slice(0, 8);
  const state = `/run/hawser/${hash}`;
  const parts = {
    mounts: mounts([root, state]),
    files: files(root),
    state: files(state),
    cgroups: groups(hash),
    interfaces: links(hash),
    rules: rules(hash),
    processes: monitors(root),
  };
  const found = await Promise.all(Object.entries(parts).map(([name, part]) => inTime(name, part)));
  return found.flat().sort();
}

async function inTime<T>(name: string, part: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`no inventory of ${name} within ${patience / 1000} s`)), patience);
  return await Promise.race([part, late]).finally(() => clearTimeout(timer));
}

/**
 * What there is to compare with later, taken once no crun is at work: a container's own process is one still when the call
 * that has started it returns. A crun that stays is in the list.
 */
export async function settledInventory(root: string): Promise<string[]> {
  const settled = async () => !(await inTime("processes", monitors(root))).includes("process crun");
  await eventually(settled, { timeoutMs: 3000 }).catch(() => undefined);
  return await inventory(root);
}

/** Resolves when the node has come to have what is expected; throws with what is too much (`+`) and missing (`-`) when it does not. */
export async function settlesAt(root: string, expected: string[], { apart }: { apart?: RegExp } = {}): Promise<void> {
  const odd = async () => difference(expected, await inventory(root)).filter((line) => !apart?.test(line));
  await eventually(async () => (await odd()).length === 0, { timeoutMs: settlingPatience }).catch(() => undefined); // the comparison says what
  assert.deepEqual(await odd(), []);
}

/** The lines that are in one of two inventories only: `+` what has come, `-` what has gone. */
export function difference(before: string[], after: string[]): string[] {
  const rest = [...before];
  const come = after.filter((line) => {
    const at = rest.indexOf(line);
    if (at >= 0) rest.splice(at, 1);
    return at < 0;
  });
  return [...come.map((line) => `+ ${line}`), ...rest.map((line) => `- ${line}`)];
}

async function mounts(places: string[]): Promise<string[]> {
  const table = await readFile("/proc/self/mountinfo", "utf8");
  return table.split("\n").flatMap((line) => {
    const point = line.split(" ")[4] ?? "";
    return places.some((place) => point.startsWith(`${place}/`)) ? [`mount ${point}`] : [];
  });
}

/** What a runtime keeps at one place and then at another, or adds to without end by its nature. */
const skipped = [/\/run\.sock$/, /\/last_reserved_ip\.\d+$/, /\/tmp\/node-compile-cache/, /\/images\/corrupt/];

async function files(directory: string): Promise<string[]> {
  const found: string[] = [];
  const todo = [directory];
  for (let at = todo.pop(); at !== undefined; at = todo.pop()) {
    const entries = await opendir(at).catch(() => undefined);
    if (!entries) continue;
    for await (const entry of entries) {
      const full = path.join(at, entry.name);
      if (skipped.some((pattern) => pattern.test(full))) continue;
      found.push(`file ${full.replace(/\/images\/layers\/\d+/, "/images/layers/#")}`);
      const isLeaf = /\/(rootfs|upper|work|fs|shm)$/.test(full) || full.includes("/cgroup2/");
      if (entry.isDirectory() && !isLeaf) todo.push(full);
    }
  }
  return found;
}

async function groups(hash: string): Promise<string[]> {
  const found: string[] = [];
  const todo: string[] = [];
  for (const hierarchy of await readdir(cgroups)) todo.push(path.join(cgroups, hierarchy, `hawser-${hash}`));
  todo.push(path.join(cgroups, `hawser-${hash}`));
  for (let at = todo.pop(); at !== undefined; at = todo.pop()) {
    const linked = await lstat(path.resolve(at, "..")).catch(() => undefined);
    if (!linked || linked.isSymbolicLink()) continue; // cpu, cpuacct
    const entries = await readdir(at, { withFileTypes: true }).catch(() => undefined);
    if (!entries) continue;
    const pids = (await readFile(path.join(at, "cgroup.procs"), "utf8").catch(() => "")).split("\n").filter(Boolean);
    found.push(`cgroup ${at} with ${pids.length}`);
    for (const entry of entries) if (entry.isDirectory()) todo.push(path.join(at, entry.name));
  }
  return found;
}

async function links(hash: string): Promise<string[]> {
  const { stdout } = await execute("ip", ["-o", "link"], { timeout: patience });
  const ours = stdout.split("\n").filter((line) => line.includes(`master hawser${hash}`));
  return ours.map(() => `interface at hawser${hash}`);
}

async function rules(hash: string): Promise<string[]> {
  const { stdout } = await execute("iptables-save", { timeout: patience });
  const ours = stdout.split("\n").filter((line) => line.includes(hash));
  return ours.map((line) => `rule ${line.replace(/\[\d+:\d+\]/, "")}`);
}

/** conmon, crun and CNI plugins at work, by what they are called and whom they serve. */
async function monitors(root: string): Promise<string[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(
    pids.map(async (pid) => {
      const line = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
      const [program = "", ...args] = line.split("\0");
      const name = path.basename(program);
      const hash = createHash("sha256").update(root).digest("hex").slice(0, 8);
      const ours = args.some((argument) => argument.includes(root) || argument.includes(hash));
      return ours && name !== "node" && !name.startsWith("hawser") ? [`process ${name}`] : [];
    }),
  );
  return found.flat();
}
