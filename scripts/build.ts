// Bundles the program: one CommonJS file per hop in packages/hawser/dist, each loaded only when its hop is asked for.
// CommonJS, since it starts fastest (docs/decisions/dependencies.md). koffi, node-unix-socket and bufferutil bring
// machine code and stay real dependencies.
import { rmSync } from "node:fs";
import { copyFile, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { type BuildOptions, build, type Plugin } from "esbuild";
import { keepToASCII } from "./ascii.ts";
import { noProtoLoader, oneVerb, wsInParts, zlibOnUse } from "./build-plugins.ts";
import { compileHelper } from "./native.ts";
import { replaceFolder } from "./replace-folder.ts";

const root = join(import.meta.dirname, "..");
const dist = join(root, "packages/hawser/dist");
/** Put in place when all is there: no `hawser` that runs meanwhile sees half a bundle, nor none. */
const out = `${dist}.${process.pid}`;
process.on("exit", () => rmSync(out, { recursive: true, force: true }));

/** Bundle name and where it begins. */
const entries: Record<string, string> = {
  main: "packages/hawser/src/main.ts",
  cluster: "packages/hawser/src/commands/main.ts",
  apiserver: "packages/apiserver/src/main.ts",
  kubelet: "packages/kubelet/src/main.ts",
  runtime: "packages/runtime/src/main.ts",
  image: "packages/runtime/src/images/main.ts",
  archive: "packages/runtime/src/archive/child.ts",
  unpack: "packages/runtime/src/images/unpack-thread.ts",
  node: "packages/hawser/src/node/main.ts",
  "remove-containers": "packages/hawser/src/commands/remove-containers.ts",
  yaml: "node_modules/yaml/dist/index.js",
};
/** A client's verbs: the one whose start counts, and all of them. */
const clients: Record<string, string> = { exec: "packages/hawser/src/exec.ts", cli: "packages/cli/src/main.ts" };

/** What main.ts and others load on demand, and the bundle that is in its place. */
const onDemand: Record<string, string> = {
  "./commands/main.ts": "cluster",
  "./commands/remove-containers.ts": "remove-containers",
  "./node/main.ts": "node",
  "@hawser/apiserver/main": "apiserver",
  "@hawser/kubelet/main": "kubelet",
  "@hawser/runtime/main": "runtime",
  "@hawser/runtime/image": "image",
  "@hawser/cli/main": "cli",
  yaml: "yaml",
};
const hopsApart: Plugin = {
  name: "hops-apart",
  setup(plugin) {
    plugin.onResolve({ filter: /./ }, (args) => {
      const name = args.kind === "dynamic-import" ? onDemand[args.path] : undefined;
      return name ? { path: `./${name}.cjs`, external: true } : null;
    });
  },
};

const common: BuildOptions = {
  outdir: out,
  outExtension: { ".js": ".cjs" },
  bundle: true,
  platform: "node",
  target: "node24",
  format: "cjs",
  // import() would start the loader of ES modules, which takes a short command longer than its own code.
  supported: { "dynamic-import": false },
  external: ["koffi", "node-unix-socket", "bufferutil"],
  plugins: [hopsApart, wsInParts, zlibOnUse, noProtoLoader],
  define: {
    "import.meta.dirname": "__dirname",
    "import.meta.filename": "__filename",
    "import.meta.main": "isEntryPoint",
  },
  banner: { js: "const isEntryPoint = require.main === module;" },
  legalComments: "external",
  logLevel: "warning",
};
await build({ ...common, entryPoints: entryPoints(entries) });
for (const [name, path] of Object.entries(clients)) {
  const plugins = [...(common.plugins ?? []), ...(name === "cli" ? [] : [oneVerb(name)])];
  // A client masks its frames itself (streaming's mask.ts) and gets none masked: what ws has in machine code for that need not be loaded.
  const define = { ...common.define, "process.env.WS_NO_BUFFER_UTIL": "true" };
  await build({ ...common, plugins, define, minifyWhitespace: true, entryPoints: entryPoints({ [name]: path }) });
}

function entryPoints(of: Record<string, string>): { out: string; in: string }[] {
  return Object.entries(of).map(([name, path]) => ({ out: name, in: join(root, path) }));
}

// The runtime looks for it beside its bundle.
const helper = await compileHelper();
if (helper.file) await copyFile(helper.file, join(out, basename(helper.file)));
else
  console.error(
    `build: no hawser-exec, so execs will go through the OCI runtime, and starts hold the event loop: ${helper.reason}`,
  );

let bytes = 0;
const bundles = [...Object.keys(entries), ...Object.keys(clients)];
for (const name of bundles) {
  const file = join(out, `${name}.cjs`);
  await keepToASCII(file);
  bytes += (await stat(file)).size;
}
await replaceFolder(out, dist);
console.error(
  `build: packages/hawser/dist, ${bundles.length} bundles, ${(bytes / 1e6).toFixed(1)} MB${helper.file ? ", hawser-exec" : ""}`,
);
