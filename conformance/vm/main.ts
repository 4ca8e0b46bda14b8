// Runs test files in a virtual machine whose kernel has cgroup v2 alone, and AppArmor: `make test-cgroup-v2`.
// The machine is qemu's, emulated: it sees this host's root read-only, and what it writes is gone with it. Needs root.
// Emulated even where there is a /dev/kvm: one of a cloud's guest (kvm_pvm) opens, and runs no kernel but those made for it.
//
//   node conformance/vm/main.ts [WORD...]     the test files whose path has one of the words
import { execFile, spawn } from "node:child_process";
import { cp, glob, mkdir, mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { setPriority, tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { makeInitramfs } from "./initramfs.ts";

const run = promisify(execFile);
const checkout = path.join(import.meta.dirname, "../..");
const vm = path.join(checkout, ".cache/vm");

/** What depends on the kernel's cgroups and security modules, and on what is told of them. */
const usual = [
  ...["cgroups", "apparmor", "lifecycle", "exec-differential", "exec-helper", "exec-sync", "sandboxes", "security"],
  ...["users", "mounts", "restart", "handlers"],
].map((name) => `conformance/crun/${name}.test`);

/** How long the whole may take. */
const minutes = Number(process.env.HAWSER_VM_MINUTES ?? 120);
/** How many times slower than a real machine it may be before a wait is over. */
const slowness = Number(process.env.HAWSER_VM_SLOWNESS ?? 10);

/** As node --test names them; tap tells of a failure when it happens. */
const reporter = process.env.HAWSER_VM_REPORTER ?? "spec";

/** Only the tests and groups with such names, a regular expression without blanks: over.crun */
const names = process.env.HAWSER_VM_NAMES ?? ".";

/** The machine's first process: the tests' shell, or systemd, below which they are a service. */
const init = process.env.HAWSER_VM_INIT ?? "shell";

/** Which cgroups systemd is to mount: v2 alone, v1 beside an empty v2, or v1 alone. Source: systemd(1), Kernel Command Line */
const layouts: Record<string, string[]> = {
  v2: ["systemd.unified_cgroup_hierarchy=1"],
  hybrid: ["systemd.unified_cgroup_hierarchy=0", "systemd.legacy_systemd_cgroup_controller=0"],
  v1: ["systemd.unified_cgroup_hierarchy=0", "systemd.legacy_systemd_cgroup_controller=1"],
};
const cgroups = process.env.HAWSER_VM_CGROUPS ?? "v2";
const layout = layouts[cgroups];
if (!layout) throw new Error(`HAWSER_VM_CGROUPS is one of ${Object.keys(layouts).join(", ")}, and not ${cgroups}`);
if (cgroups !== "v2" && init !== "systemd") {
  throw new Error(`HAWSER_VM_CGROUPS=${cgroups} needs HAWSER_VM_INIT=systemd, which mounts them`);
}

const words = process.argv.slice(2);
const wanted = words.length > 0 ? words : usual;
const tests = (await Array.fromAsync(glob("{packages,conformance,e2e}/**/*.test.ts", { cwd: checkout })))
  .filter((file) => wanted.some((word) => file.includes(word)))
  .sort((one, other) => place(one) - place(other));
if (tests.length === 0) throw new Error(`no test file has ${wanted.join(" or ")} in its path`);
const folder = await mkdtemp(path.join(tmpdir(), "hawser-vm-"));
try {
  await fillCompileCache();
  const [initramfs, sources, disk] = await Promise.all([makeInitramfs({ vm, folder }), copySources(), makeDisk()]);
  process.exitCode = await boot({ initramfs, sources, disk, layout });
} finally {
  await rm(folder, { recursive: true, force: true });
}

function place(file: string): number {
  return wanted.findIndex((word) => file.includes(word));
}

/** Types are stripped and code is compiled here, where it takes a second, and not there. */
async function fillCompileCache(): Promise<void> {
  const none = "--test-name-pattern=^no test has this name$";
  const env = {
    ...process.env,
    NODE_COMPILE_CACHE: path.join(vm, "compile-cache"),
    NODE_OPTIONS: `--import=${path.join(import.meta.dirname, "slow-clock.ts")}`,
  };
  await run(process.execPath, ["--test", none, ...tests], { cwd: checkout, env });
}

/** The sources as they are now, below the path they have here: somebody may go on writing while the tests run. */
async function copySources(): Promise<string> {
  const sources = path.join(folder, "sources");
  const target = path.join(sources, checkout);
  await mkdir(target, { recursive: true });
  const list = ["ls-files", "--cached", "--others", "--exclude-standard"];
  const files = (await run("git", list, { cwd: checkout, maxBuffer: 16 << 20 })).stdout.split("\n").filter(Boolean);
  for (const file of files) {
    await cp(path.join(checkout, file), path.join(target, file), { verbatimSymlinks: true }).catch(ignoreDeleted);
  }
  const helper = `packages/runtime/dist/hawser-exec-${process.arch}`; // built, and of one protocol with the sources
  await cp(path.join(checkout, helper), path.join(target, helper)).catch(ignoreDeleted);
  return sources;
}

/** Its /tmp: a file system that maps ids, which a tmpfs does not before Linux 6.3. Takes the room that is used of it. */
async function makeDisk(): Promise<string> {
  const disk = path.join(folder, "disk");
  await writeFile(disk, "");
  await truncate(disk, 8 * 1024 ** 3);
  await run("/sbin/mkfs.ext4", ["-q", "-O", "^has_journal", disk]);
  return disk;
}

function ignoreDeleted(error: NodeJS.ErrnoException): void {
  if (error.code !== "ENOENT") throw error;
}

function share(tag: string, folder: string): string[] {
  const readOnly = `local,id=${tag},path=${folder},security_model=none,readonly=on,multidevs=remap`;
  return ["-fsdev", readOnly, "-device", `virtio-9p-pci,fsdev=${tag},mount_tag=${tag}`];
}

/** Runs the machine to its end. Resolves with the exit code of the tests in it. Throws when it was not heard of. */
async function boot({
  initramfs,
  sources,
  disk,
  layout,
}: {
  initramfs: string;
  sources: string;
  disk: string;
  /** Of the kernel's command line. */
  layout: string[];
}): Promise<number> {
  const command = ["console=ttyS0", "quiet", "panic=-1", "mitigations=off", ...layout];
  command.push(
    `hawser.checkout=${checkout}`,
    `hawser.tests=${tests.join(",")}`,
    `hawser.slowness=${slowness}`,
    `hawser.reporter=${reporter}`,
    `hawser.names=${names}`,
    `hawser.init=${init}`,
  );
  const machine = spawn(
    "qemu-system-x86_64",
    [
      ...["-M", "q35", "-cpu", "max", "-accel", "tcg,thread=multi", "-smp", "2", "-m", "3G"],
      ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio", "-nic", "none"],
      ...["-kernel", path.join(vm, "vmlinuz"), "-initrd", initramfs, "-append", command.join(" ")],
      ...share("host", "/"),
      ...share("sources", sources),
      ...["-drive", `file=${disk},format=raw,if=virtio,cache=unsafe`, "-device", "virtio-rng-pci"],
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const gone = Promise.withResolvers<void>();
  machine.once("close", () => gone.resolve()).once("error", gone.reject);
  if (machine.pid) setPriority(machine.pid, 10); // it takes whole processors for minutes
  const kill = () => machine.kill("SIGKILL");
  const late = setTimeout(kill, minutes * 60_000);
  process.once("exit", kill);
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, kill);
  let code: number | undefined;
  let heard = false;
  for await (const line of createInterface({ input: machine.stdout, crlfDelay: Number.POSITIVE_INFINITY })) {
    heard ||= line.includes("hawser-vm: ");
    if (heard) console.log(line); // not what the firmware paints
    const exit = /^hawser-vm: exit (\d+)/.exec(line);
    if (exit) code = Number(exit[1]);
  }
  await gone.promise;
  clearTimeout(late);
  process.off("exit", kill);
  if (code === undefined)
    throw new Error(`the machine has ended, or was ended after ${minutes} minutes, without a word`);
  return code;
}
