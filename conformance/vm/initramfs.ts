import { execFile } from "node:child_process";
import { chmod, copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { gzip } from "node:zlib";

const run = promisify(execFile);

/** What init.sh needs before it has the host's root: the way there. */
const modules = ["virtio_pci", "virtio-rng", "9pnet_virtio", "9p", "overlay"];

/**
 * Makes an initramfs in `folder`: busybox, a few modules, init.sh. `vm` is what `scripts/install.sh vm` has unpacked.
 * Resolves with its file.
 */
export async function makeInitramfs({ vm, folder }: { vm: string; folder: string }): Promise<string> {
  const tree = path.join(folder, "initramfs");
  const release = (await readFile(path.join(vm, "complete"), "utf8")).trim();
  const from = path.join(vm, "lib/modules", release);
  const to = path.join(tree, "lib/modules", release);
  await mkdir(path.join(tree, "bin"), { recursive: true });
  const busybox = path.join(tree, "bin/busybox");
  await copyFile(path.join(vm, "busybox-static/bin/busybox"), busybox);
  await copyFile(path.join(import.meta.dirname, "init.sh"), path.join(tree, "init"));
  await chmod(path.join(tree, "init"), 0o755);
  for (const file of neededModules(await readFile(path.join(from, "modules.dep"), "utf8"))) {
    await mkdir(path.dirname(path.join(to, file)), { recursive: true });
    await copyFile(path.join(from, file), path.join(to, file));
  }
  await run(busybox, ["depmod", "-b", tree, release]);
  const list = (await run(busybox, ["find", "."], { cwd: tree })).stdout;
  const archiving = run(busybox, ["cpio", "-o", "-H", "newc"], { cwd: tree, encoding: "buffer", maxBuffer: 64 << 20 });
  archiving.child.stdin?.end(list);
  const file = path.join(folder, "initramfs.gz");
  await writeFile(file, await promisify(gzip)((await archiving).stdout));
  return file;
}

/** The modules' files and those they need. Source: modules.dep(5) */
function neededModules(dependencies: string): Set<string> {
  const lines = dependencies.split("\n").map((line) => line.split(/:? /).filter(Boolean).map(withoutColon));
  const wanted = lines.filter(([file = ""]) => modules.includes(path.basename(file, ".ko")));
  return new Set(wanted.flat());
}

function withoutColon(word: string): string {
  return word.replace(/:$/, "");
}
