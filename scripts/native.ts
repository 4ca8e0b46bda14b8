// Compiles hawser-exec, the runtime's way into containers, for this machine: packages/runtime/dist/hawser-exec-ARCH.
// Static, since it runs with a container's root file system around it. By itself: `node scripts/native.ts`.
import { execFile } from "node:child_process";
import { mkdir, readdir, rename, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const package_ = join(import.meta.dirname, "../packages/runtime");
const sources = join(package_, "native");
const target = join(package_, "dist", `hawser-exec-${process.arch}`);

/** The compiled program, or in words why there is none: the runtime does without. */
export async function compileHelper(): Promise<{ file: string; reason?: never } | { file?: never; reason: string }> {
  const have = await stat(target).catch(() => undefined);
  const files = (await readdir(sources)).map((name) => join(sources, name));
  const wanted = await Promise.all([import.meta.filename, sources, ...files].map((file) => stat(file)));
  if (have && wanted.every(({ mtimeMs }) => have.mtimeMs > mtimeMs)) return { file: target };
  await mkdir(dirname(target), { recursive: true });
  const fresh = `${target}.${process.pid}`; // moved into place: a runtime that starts meanwhile reads one or the other
  try {
    const flags = ["-static", "-O2", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE"];
    await run("gcc", [...flags, "-o", fresh, ...files.filter((file) => file.endsWith(".c"))]);
  } catch (error) {
    const { code, stderr } = error as { code?: string; stderr?: string };
    if (code === "ENOENT") return { reason: "there is no gcc; on Debian: apt-get install gcc libc6-dev" };
    return { reason: `gcc cannot compile it (on Debian it needs libc6-dev):\n${stderr ?? error}` };
  }
  await rename(fresh, target);
  return { file: target };
}

if (import.meta.main) {
  const { file, reason } = await compileHelper();
  console.error(file ?? reason);
  if (!file) process.exitCode = 1;
}
