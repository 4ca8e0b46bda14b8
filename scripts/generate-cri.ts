// Generates packages/cri/src/gen from packages/cri/proto. Run by `make generate`; the result is committed.
// The generators live in tools/cri-gen with a lock file of their own: they are large and seldom needed.
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { access, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const root = path.resolve(import.meta.dirname, "..");
const tools = path.join(root, "tools/cri-gen");
const bin = path.join(tools, "node_modules/.bin");
const proto = path.join(root, "packages/cri/proto");
const gen = path.join(root, "packages/cri/src/gen");

const installed = await access(path.join(bin, "buf")).then(
  () => true,
  () => false,
);
if (!installed) await run("npm", ["ci", "--no-audit", "--no-fund"], { cwd: tools });

const template = {
  version: "v2",
  plugins: [
    {
      local: path.join(bin, "protoc-gen-es"),
      out: gen,
      opt: ["target=ts", "import_extension=ts", "erasable_syntax=true"],
    },
  ],
};
await run(path.join(bin, "buf"), ["generate", "--template", JSON.stringify(template), proto], { cwd: root });

const source = await readFile(path.join(proto, "cri.proto"));
await writeFile(path.join(gen, "cri.proto.sha256"), `${createHash("sha256").update(source).digest("hex")}\n`);
