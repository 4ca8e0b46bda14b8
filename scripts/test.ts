// Runs every test, or those whose path holds one of the words given, and then looks whether they left anything behind:
// a process, a mount, a file, a network namespace, an interface. First the units and what else needs nothing of the machine
// but its programs, two files at a time; then what has containers and clusters of its own, two at a time too; then what has the
// machine as a part of what is tested, one file at a time.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, glob, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { processes } from "@hawser/testing";
import { mountsBelow, unmountBelow } from "hawser";

process.chdir(join(import.meta.dirname, ".."));
const programsOnly = [
  "conformance/cli/*.test.ts",
  "conformance/kubectl/*.test.ts",
  "conformance/streaming/kubectl.test.ts",
];
/**
 * Files that two may run of at the same time: each has its own folders, ports, pods' addresses and names, looks for what is left under these
 * alone, and allows for a machine that has other work. What measures memory or time, lets its hops wait for a second or two only, fills
 * a disk, kills at a step, or writes into the checkout is not among them, nor is a new file until it has been looked at.
 */
const sideBySide = [
  "conformance/{client,cri-differential,crun,interop,logs}/*.test.ts",
  "conformance/containerd/{cp,cri,pods}.test.ts",
  "conformance/node/{operate,verbs}.test.ts",
  "conformance/registry/{arriving,auth,containerd,extraction,registry}.test.ts",
  "conformance/streaming/containerd.test.ts",
  "e2e/{bad-input,cp,launcher,post,post-containerd,post-runc,streams,streams-data,streams-terminal,up}.test.ts",
];
const phases = [
  {
    patterns: ["packages/*/src/**/*.test.ts", "scripts/*.test.ts", "bench/*.test.ts", ...programsOnly],
    concurrency: 2,
  },
  { patterns: sideBySide, concurrency: 2 },
  {
    patterns: ["conformance/**/*.test.ts", "e2e/**/*.test.ts"],
    exclude: [...programsOnly, ...sideBySide],
    concurrency: 1,
  },
];
/** For one test or hook, milliseconds. The longest takes a tenth of it; `make test-long` has longer ones. */
const timeout = Number(process.env.HAWSER_TEST_TIMEOUT ?? (process.env.HAWSER_TEST_LONG === "1" ? 300_000 : 120_000));
/** For one file, milliseconds: more than the longest time that one of its tests asks for. A file that is not over then is ended, and leaves what it had. */
const fileTimeout = Number(
  process.env.HAWSER_FILE_TIMEOUT ?? (process.env.HAWSER_TEST_LONG === "1" ? 3_600_000 : 1_200_000),
);

const words = process.argv.slice(2);
const wanted = (file: string) => words.length === 0 || words.some((word) => file.includes(word));
const runs: { files: string[]; concurrency: number }[] = [];
for (const { patterns, exclude = [], concurrency } of phases) {
  const files = (await Array.fromAsync(glob(patterns, { exclude }))).sort().filter(wanted);
  if (files.length > 0) runs.push({ files, concurrency });
}
if (runs.length === 0) throw new Error(`no test file has ${words.join(" or ")} in its path`);

// Everything temporary of this run lies in one folder, whose name tells its leavings from those of others.
const folder = await mkdtemp(join(tmpdir(), "ht-"));
await chmod(folder, 0o711); // as a runtime's folder lies on a node: users of a pod's own have to get through
const before = new Set(await nameless());
let failed = false;
for (const { files, concurrency } of runs) {
  const options = ["--test", `--test-concurrency=${concurrency}`, `--test-timeout=${timeout}`];
  options.push("--import=./scripts/overdue.ts");
  for (const reporter of ["spec", "./scripts/slowest.ts"])
    options.push(`--test-reporter=${reporter}`, "--test-reporter-destination=stdout");
  const runner = spawn(process.execPath, [...options, ...files], {
    env: { ...process.env, TMPDIR: folder, HAWSER_FILE_TIMEOUT: String(fileTimeout) },
    stdio: "inherit",
  });
  const [code] = await once(runner, "exit");
  failed ||= code !== 0;
}
const left = await residue();
for (const item of left) console.error(`left behind by the tests: ${item}`);
await unmountBelow(folder);
await rm(folder, { recursive: true, force: true });
process.exitCode = failed || left.length > 0 ? 1 : 0;

/** What the tests have left on this machine, a line each. */
async function residue(): Promise<string[]> {
  const found: string[] = [];
  let others = false;
  for (const { pid, args } of await processes()) {
    if (pid === process.pid) continue;
    const environment = await readFile(`/proc/${pid}/environ`, "latin1").catch(() => "");
    if (args.includes(folder) || environment.includes(folder)) found.push(`process ${pid} ${args.slice(0, 120)}`);
    else if (/^hawser-(apiserver|kubelet|runtime)|conmon|containerd/.test(args)) others = true;
  }
  for (const point of await mountsBelow(folder)) found.push(`mount ${point}`);
  const ofNode = "node-compile-cache"; // npm's own, which it makes in every temporary folder
  for (const name of await readdir(folder)) if (name !== ofNode) found.push(`file ${join(folder, name)}`);
  if (others) return found; // what bears no name of this run's may be another cluster's
  return [...found, ...(await nameless()).filter((item) => !before.has(item))];
}

/** What a cluster makes whose name does not tell which run it is of: so what was there before the tests is not theirs. */
async function nameless(): Promise<string[]> {
  const found: string[] = [];
  for (const name of await readdir("/sys/class/net")) if (/^(hawser|hwt)/.test(name)) found.push(`interface ${name}`);
  for (const place of ["/run/netns", "/run/hawser"]) {
    for (const name of await readdir(place).catch(() => [])) found.push(`${place}/${name}`);
  }
  for await (const group of glob("/sys/fs/cgroup/{,*/}hawser*")) found.push(`cgroup ${group}`);
  return found;
}
