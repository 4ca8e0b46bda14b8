// Makes an nginx image (or a busybox one) from Debian's own packages, for machines that reach no registry.
//
//   node scripts/make-nginx-image.ts [nginx|busybox]      prints the archive's path
//
// No container, no chroot, no root: packages are downloaded and checked by apt-get, unpacked by dpkg-deb, packed by tar.
// The archive (an OCI layout that `docker load` takes too) lies in .cache/images, keyed by the packages' versions.
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { access, chmod, mkdir, mkdtemp, readdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { tarArchive } from "@hawser/tar";
import { imageArchive } from "./image-archive.ts";
import { type Recipe, recipes } from "./image-recipes.ts";

const run = promisify(execFile);
const cache = join(import.meta.dirname, "../.cache/images");
/** Part of the cache's key: raise it when this script makes other images of the same packages. */
const revision = 2;
/** The time of every file, so that the same packages give the same image. */
const epoch = "2025-01-01T00:00:00Z";
/** Largest output of a command, bytes; the packed file tree is one. */
const maxOutput = 512 << 20;

export type ImageName = keyof typeof recipes;

/**
 * Makes the image unless it is there already. Resolves with the archive's path.
 * Throws with the command's own words when Debian's packages cannot be had.
 */
export async function makeImage(name: ImageName): Promise<string> {
  await mkdir(cache, { recursive: true });
  const recipe = recipes[name];
  const { packages, apt } = await resolvePackages(recipe);
  const key = createHash("sha256")
    .update(JSON.stringify([revision, recipe, packages]))
    .digest("hex");
  const archive = join(cache, `${name}-${key.slice(0, 12)}.tar`);
  if (await exists(archive)) return archive;

  const work = await mkdtemp(join(cache, "work-"));
  try {
    const root = join(work, "root");
    await unpack(await download(packages, apt), root);
    await prepare(root, recipe);
    const layer = await pack(root, recipe);
    const temporary = join(work, "image.tar");
    await writeFile(temporary, await archiveOf(name, recipe, layer));
    await rename(temporary, archive);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return archive;
}

type Packages = Record<string, string>;

/** The packages with all they depend on, as if nothing were installed, and their versions. */
async function resolvePackages(recipe: Recipe): Promise<{ packages: Packages; apt: string[] }> {
  const simulate = async (apt: string[]) => {
    const options = [...apt, "-o", "Dir::State::status=/dev/null", "--simulate", "--no-install-recommends"];
    const { stdout } = await run("apt-get", [...options, "install", ...recipe.packages], { maxBuffer: maxOutput });
    const found = [...stdout.matchAll(/^Inst (\S+) \((\S+)/gm)].map(([, name = "", version = ""]) => [name, version]);
    return { packages: Object.fromEntries(found.filter(([name]) => !recipe.without.test(name ?? ""))), apt };
  };
  const own = ["-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User="];
  try {
    return await simulate(own);
  } catch {
    // This machine has no package lists, or incomplete ones: fetch them for ourselves alone.
    const lists = join(cache, "lists");
    await mkdir(join(lists, "partial"), { recursive: true });
    const apart = [...own, "-o", `Dir::State::lists=${lists}`];
    await run("apt-get", [...apart, "-o", "Acquire::Languages=none", "--quiet", "update"], { maxBuffer: maxOutput });
    return await simulate(apart);
  }
}

/** Fetches what is not in the cache yet; apt-get checks signatures and digests. */
async function download(packages: Packages, apt: string[]): Promise<string[]> {
  const folder = join(cache, "packages");
  await mkdir(folder, { recursive: true });
  const find = async () => {
    const files = await readdir(folder);
    return Object.entries(packages).map(([name, version]) => {
      const start = `${name}_${version.replaceAll(":", "%3a")}_`;
      return { spec: `${name}=${version}`, file: files.find((file) => file.startsWith(start)) };
    });
  };
  const missing = (await find()).filter(({ file }) => !file).map(({ spec }) => spec);
  if (missing.length > 0) {
    await run("apt-get", [...apt, "--quiet", "download", ...missing], { cwd: folder, maxBuffer: maxOutput });
  }
  return (await find()).map(({ spec, file }) => {
    if (!file) throw new Error(`apt-get download left no file for ${spec}`);
    return join(folder, file);
  });
}

/** Unpacks packages over each other, /bin, /sbin and /lib being links into /usr from the start, as on every Debian 12. */
async function unpack(files: string[], root: string): Promise<void> {
  await mkdir(join(root, "usr"), { recursive: true });
  for (const name of ["bin", "sbin", "lib", "lib64"]) {
    await mkdir(join(root, "usr", name));
    await symlink(`usr/${name}`, join(root, name));
  }
  const exclude = ["doc", "man", "info", "locale", "lintian", "bash-completion"].map(
    (it) => `--exclude=./usr/share/${it}`,
  );
  const script =
    'set -o pipefail; deb=$1 root=$2; shift 2; dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink "$@" -C "$root"';
  for (const file of files) await run("bash", ["-c", script, "unpack", file, root, ...exclude]);
}

async function prepare(root: string, recipe: Recipe): Promise<void> {
  for (const [path, content] of Object.entries(recipe.files)) {
    await mkdir(join(root, path, ".."), { recursive: true });
    await rm(join(root, path), { force: true });
    await writeFile(join(root, path), content);
    await chmod(join(root, path), 0o644);
  }
  const links = { ...recipe.links };
  if (recipe.appletsOf !== undefined) {
    const { stdout } = await run(join(root, recipe.appletsOf), ["--list"]);
    for (const applet of stdout.split("\n")) if (applet) links[`bin/${applet}`] ??= "busybox";
  }
  for (const [path, target] of Object.entries(links)) {
    if (target === "busybox" && path === "bin/busybox") continue;
    await mkdir(join(root, path, ".."), { recursive: true });
    await rm(join(root, path), { force: true });
    await symlink(target, join(root, path));
  }
  for (const [path, { mode }] of Object.entries(recipe.directories)) {
    await mkdir(join(root, path), { recursive: true });
    await chmod(join(root, path), mode);
  }
  await rm(join(root, "usr/share/doc"), { recursive: true, force: true });
}

/** The file tree as a layer. Owners are said here, not taken from disk: whoever runs this may be nobody in particular. */
async function pack(root: string, recipe: Recipe): Promise<Buffer> {
  const owned = Object.entries(recipe.directories).filter(([, { owner }]) => owner !== 0);
  const options = ["--numeric-owner", "--format=posix", "--sort=name", `--mtime=${epoch}`];
  const times = "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime";
  const tar = async (args: string[]) => {
    const { stdout } = await run("tar", ["-c", "-C", root, times, ...options, ...args], {
      encoding: "buffer",
      maxBuffer: maxOutput,
    });
    return trimEnd(stdout);
  };
  const rest = await tar(["--owner=0", "--group=0", ...owned.map(([path]) => `--exclude=./${path}`), "."]);
  const parts = [rest];
  for (const [path, { owner }] of owned) parts.push(await tar([`--owner=${owner}`, `--group=${owner}`, `./${path}`]));
  return tarArchive(parts);
}

/** Without the zeros at the end, so that another archive can follow. */
function trimEnd(tar: Buffer): Buffer {
  let end = tar.length;
  while (end >= 512 && tar.subarray(end - 512, end).every((byte) => byte === 0)) end -= 512;
  return tar.subarray(0, end);
}

async function archiveOf(name: ImageName, recipe: Recipe, layer: Buffer): Promise<Buffer> {
  const { stdout } = await run("dpkg", ["--print-architecture"]);
  const names: Record<string, string> = { i386: "386", armhf: "arm" };
  return imageArchive({
    name: `docker.io/library/${name}:latest`,
    architecture: names[stdout.trim()] ?? stdout.trim(),
    settings: recipe.config,
    layers: [layer],
    compress: true,
    origin: { created: epoch, history: [{ created: epoch, created_by: `make-nginx-image ${name}` }] },
  });
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

/** Removes archives of other versions, which nothing asks for any more. */
async function removeOld(name: ImageName, archive: string): Promise<void> {
  for (const file of await readdir(cache)) {
    const path = join(cache, file);
    if (file.startsWith(`${name}-`) && file.endsWith(".tar") && path !== archive) await rm(path);
  }
}

if (import.meta.main) {
  const name = process.argv[2] ?? "nginx";
  if (!Object.hasOwn(recipes, name)) {
    console.error(`usage: make-nginx-image.ts [${Object.keys(recipes).join("|")}]`);
    process.exitCode = 2;
  } else {
    const archive = await makeImage(name as ImageName); // checked above
    await removeOld(name as ImageName, archive);
    console.log(archive);
  }
}
