// A root file system made of this machine's own programs, so that no registry is needed.
import { execFile } from "node:child_process";
import { access, copyFile, mkdir, realpath } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Copies a program to `bin/<name>` below `root`, with the libraries it loads. False when this machine does not have it. */
export async function copyProgram(root: string, name: string): Promise<boolean> {
  for (const folder of ["/usr/bin", "/bin", "/usr/sbin"]) {
    const file = await realpath(path.join(folder, name)).catch(() => undefined);
    if (!file) continue;
    await copy(file, path.join(root, "bin", name));
    const { stdout } = await run("ldd", [file]).catch(() => ({ stdout: "" })); // a static program has none
    for (const [library] of stdout.matchAll(/\/[^\s)]+/g)) await copy(library, path.join(root, library));
    return true;
  }
  return false;
}

/** The tree as a layer: everything is root's. */
export async function packRoot(root: string): Promise<Buffer> {
  const command = ["--numeric-owner", "--owner=0", "--group=0", "-c", "-C", root, "."];
  const { stdout } = await run("tar", command, { encoding: "buffer", maxBuffer: 512 << 20 });
  return stdout;
}

/** This machine's, in OCI's words. */
export const architecture = process.arch === "arm64" ? "arm64" : "amd64";

async function copy(file: string, place: string): Promise<void> {
  const there = await access(place).then(
    () => true,
    () => false,
  );
  if (there) return;
  await mkdir(path.dirname(place), { recursive: true });
  await copyFile(await realpath(file), place);
}
