// Packs the program into hawser-VERSION.tgz: the bundles of packages/hawser/dist, the launcher, what a service of systemd
// needs (packaging), and the dependencies that bring machine code. `package.ts [FOLDER]` says where to.
// `npm install -g hawser-VERSION.tgz` makes a working `hawser` of it.
import { execFile } from "node:child_process";
import { copyFile, cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const root = join(import.meta.dirname, "..");
const home = join(root, "packages/hawser");
const stage = join(root, ".cache/stage");

/** Values as they come: what is passed on is not looked at. */
// biome-ignore lint/suspicious/noExplicitAny: a package.json
const readManifest = async (path: string): Promise<Record<string, any>> => JSON.parse(await readFile(path, "utf8"));

const { name, version, description, license, engines, bin } = await readManifest(join(home, "package.json"));
/** What of a workspace's dependencies cannot go into a bundle, with the versions the workspace wants. */
async function machineCode(workspace: string, field: string, names: string[]): Promise<Record<string, string>> {
  const wanted = (await readManifest(join(root, "packages", workspace, "package.json")))[field];
  return Object.fromEntries(
    names.map((dependency) => {
      const range = wanted?.[dependency];
      if (!range) throw new Error(`packages/${workspace}/package.json does not name ${dependency} in ${field}`);
      return [dependency, range];
    }),
  );
}
const dependencies = await machineCode("runtime", "dependencies", ["koffi", "node-unix-socket"]);
const optionalDependencies = await machineCode("streaming", "optionalDependencies", ["bufferutil"]);

await rm(stage, { recursive: true, force: true });
await mkdir(stage, { recursive: true });
await cp(join(home, "dist"), join(stage, "dist"), { recursive: true });
await cp(join(home, "bin"), join(stage, "bin"), { recursive: true });
await cp(join(root, "packaging"), join(stage, "packaging"), { recursive: true });
await copyFile(join(root, "LICENSE"), join(stage, "LICENSE"));
await copyFile(join(root, "README.md"), join(stage, "README.md"));
const manifest = {
  name,
  version,
  description,
  license,
  engines,
  os: ["linux"],
  bin,
  dependencies,
  optionalDependencies,
};
await writeFile(join(stage, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`);
const { stdout } = await run("npm", ["pack", "--silent", "--pack-destination", process.argv[2] ?? root], {
  cwd: stage,
});
console.log(stdout.trim());
