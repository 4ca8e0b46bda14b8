// Fails when a package imports what its layer may not, when a folder reaches into another package past its exports,
// or when an import is not declared in the package's own package.json. The table is the one of docs/architecture.md.
import { glob, readFile } from "node:fs/promises";
import { builtinModules } from "node:module";
import { dirname, join, relative, resolve } from "node:path";

/** Package to the packages of ours it may import. A hop never imports a hop; `hawser` and `testing` stand above them. */
const layers: Record<string, string[]> = {
  api: [],
  files: [],
  pki: [],
  trace: [],
  tar: [],
  streaming: ["api", "trace"],
  cri: ["api", "streaming", "trace"],
  client: ["api", "streaming", "tar", "trace"],
  cli: ["api", "client", "pki", "streaming", "trace"],
  console: ["api", "client", "streaming", "trace"],
  apiserver: ["api", "client", "pki", "streaming", "trace"],
  kubelet: ["api", "client", "cri", "files", "pki", "streaming", "trace"],
  runtime: ["cri", "files", "streaming", "tar", "trace"],
  hawser: ["api", "apiserver", "cli", "client", "cri", "files", "kubelet", "pki", "runtime", "streaming", "trace"],
  testing: ["api", "apiserver", "cli", "client", "cri", "hawser", "kubelet", "pki", "runtime", "streaming", "trace"],
};
/** Only these may load a hop's main.ts. */
const composers = new Set(["hawser", "testing"]);
/** Of the workspace, for tests and types. */
const shared = new Set(["fast-check", "kubernetes-types"]);

interface Manifest {
  name: string;
  exports?: Record<string, string>;
  dependencies?: Record<string, string>;
}
interface Source {
  package: string;
  path: string;
  text: string;
}

/** One line per import that breaks a rule. */
export function layerFaults(source: Source, manifests: Map<string, Manifest>): string[] {
  const faults: string[] = [];
  const own = manifests.get(source.package);
  for (const specifier of importsOf(source.text)) {
    const fault = (why: string) => faults.push(`${source.path}: imports ${specifier}: ${why}`);
    if (specifier.startsWith(".")) {
      const target = relative(`packages/${source.package}`, resolve("/", dirname(source.path), specifier).slice(1));
      if (target.startsWith("..")) fault("outside its package");
      if (/(^|\/)main\.ts$/.test(target) && source.package !== "hawser" && !source.path.endsWith(".test.ts")) {
        fault("main.ts is imported by nobody");
      }
      continue;
    }
    if (specifier.startsWith("node:")) continue;
    if (builtinModules.includes(specifier)) {
      fault(`write node:${specifier}`);
      continue;
    }
    const [name, entry] = packageOf(specifier);
    const ours = name.startsWith("@hawser/") ? name.slice("@hawser/".length) : name === "hawser" ? "hawser" : undefined;
    if (ours === undefined) {
      if (!own?.dependencies?.[name] && !shared.has(name)) fault(`not in packages/${source.package}/package.json`);
      continue;
    }
    if (ours === source.package) fault("a package reaches itself by relative paths");
    else if (!layers[source.package]?.includes(ours)) fault(`${source.package} may not import ${ours}`);
    else if (!own?.dependencies?.[name]) fault(`not in packages/${source.package}/package.json`);
    if (!manifests.get(ours)?.exports?.[entry]) fault("not exported there");
    if (entry === "./main" && !composers.has(source.package)) fault("only the hawser program starts a hop's main");
  }
  return faults;
}

/** `@hawser/cri/testing` is ["@hawser/cri", "./testing"]. */
function packageOf(specifier: string): [name: string, entry: string] {
  const parts = specifier.split("/");
  const length = specifier.startsWith("@") ? 2 : 1;
  const rest = parts.slice(length).join("/");
  return [parts.slice(0, length).join("/"), rest ? `./${rest}` : "."];
}

function importsOf(text: string): string[] {
  const found = text.matchAll(
    /^(?:import|export)\b[^;"'`]*?\bfrom\s*["']([^"'\s]+)["']|^import\s*["']([^"'\s]+)["']|\bimport\(\s*["']([^"'\s]+)["']\s*\)/gm,
  );
  return [...found].map(([, from, bare, dynamic]) => from ?? bare ?? dynamic ?? "");
}

if (import.meta.main) {
  process.chdir(join(import.meta.dirname, ".."));
  const manifests = new Map<string, Manifest>();
  for (const name of Object.keys(layers)) {
    const text = await readFile(`packages/${name}/package.json`, "utf8").catch(() => undefined);
    if (text) manifests.set(name, JSON.parse(text));
  }
  const faults: string[] = [];
  let files = 0;
  for await (const path of glob("packages/*/src/**/*.ts")) {
    const [, name = ""] = path.split("/");
    if (!layers[name]) faults.push(`packages/${name}: no layer of scripts/check-layers.ts`);
    faults.push(...layerFaults({ package: name, path, text: await readFile(path, "utf8") }, manifests));
    files++;
  }
  for (const fault of faults) console.error(fault);
  console.error(
    `layers: ${files} files, ${faults.length === 0 ? "all in place" : `${faults.length} imports out of place`}`,
  );
  process.exitCode = faults.length === 0 ? 0 : 1;
}
