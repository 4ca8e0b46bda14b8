// Packs the program into hawser-VERSION.tgz: the bundles of packages/hawser/dist, the launcher, and the two
// dependencies that bring machine code. `package.ts [FOLDER]` says where to. `npm install -g hawser-VERSION.tgz` makes a working `hawser` of it.
import { execFile } from "node:child_process";
import { copyFile, cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const root = join(import.meta.dirname, "..");
const home = join(root, "packages/hawser");
const stage = join(root, ".cache/stage");

interface Manifest {
  dependencies: Record<string, string>;
  [field: string]: unknown;
}
const readManifest = async (path: string): Promise<Manifest> => JSON.parse(await readFile(path, "utf8"));

const { name, version, description, license, engines, bin } = await readManifest(join(home, "package.json"));
const { dependencies: runtime } = await readManifest(join(root, "packages/runtime/package.json"));
const dependencies = Object.fromEntries(
  ["koffi", "node-unix-socket"].map((dependency) => {
    const wanted = runtime[dependency];
    if (!wanted) throw new Error(`packages/runtime/package.json does not name ${dependency}`);
    return [dependency, wanted];
  }),
);

await rm(stage, { recursive: true, force: true });
await mkdir(stage, { recursive: true });
await cp(join(home, "dist"), join(stage, "dist"), { recursive: true });
await cp(join(home, "bin"), join(stage, "bin"), { recursive: true });
await copyFile(join(root, "LICENSE"), join(stage, "LICENSE"));
await copyFile(join(root, "README.md"), join(stage, "README.md"));
const manifest = { name, version, description, license, engines, os: ["linux"], bin, dependencies };
await writeFile(join(stage, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`);
const { stdout } = await run("npm", ["pack", "--silent", "--pack-destination", process.argv[2] ?? root], {
  cwd: stage,
});
console.log(stdout.trim());
