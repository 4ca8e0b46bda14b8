import assert from "node:assert/strict";
import { test } from "node:test";
import { layerFaults } from "./check-layers.ts";

const manifest = (name: string, ...dependencies: string[]) => ({
  name,
  exports: { ".": "./src/index.ts", "./main": "./src/main.ts", "./testing": "./src/testing/index.ts" },
  dependencies: Object.fromEntries(dependencies.map((dependency) => [dependency, "*"])),
});
const manifests = new Map([
  ["api", manifest("@hawser/api")],
  ["streaming", manifest("@hawser/streaming", "@hawser/api", "ws")],
  ["kubelet", manifest("@hawser/kubelet", "@hawser/cri", "@hawser/runtime")],
  ["cri", manifest("@hawser/cri", "@hawser/streaming")],
  ["runtime", manifest("@hawser/runtime", "@hawser/cri", "@hawser/api")],
  ["hawser", manifest("hawser", "@hawser/kubelet")],
]);

const cases: { name: string; in: string; text: string; want: RegExp | undefined }[] = [
  { name: "a layer below", in: "streaming/src/a.ts", text: 'import { x } from "@hawser/api";', want: undefined },
  {
    name: "a layer above",
    in: "api/src/a.ts",
    text: 'import "@hawser/streaming";',
    want: /api may not import streaming/,
  },
  {
    name: "a hop and a hop",
    in: "kubelet/src/a.ts",
    text: 'export { x } from "@hawser/runtime";',
    want: /kubelet may not import runtime/,
  },
  {
    name: "runtime and api, types included",
    in: "runtime/src/a.ts",
    text: 'import type { Pod } from "@hawser/api";',
    want: /runtime may not import api/,
  },
  {
    name: "an import over several lines",
    in: "api/src/a.ts",
    text: 'import {\n  x,\n} from "ws";',
    want: /not in packages\/api/,
  },
  {
    name: "an import on demand",
    in: "api/src/a.ts",
    text: 'const x = await import("ws");',
    want: /not in packages\/api/,
  },
  { name: "out of the package", in: "api/src/a.ts", text: 'import "../../cri/src/b.ts";', want: /outside its package/ },
  { name: "main.ts", in: "cri/src/a.ts", text: 'import "./main.ts";', want: /imported by nobody/ },
  { name: "a hop's main", in: "kubelet/src/a.ts", text: 'import "@hawser/cri/main";', want: /only the hawser program/ },
  {
    name: "a hop's main, by the program",
    in: "hawser/src/a.ts",
    text: 'import("@hawser/kubelet/main")',
    want: undefined,
  },
  { name: "what is not exported", in: "kubelet/src/a.ts", text: 'import "@hawser/cri/gen";', want: /not exported/ },
  { name: "a builtin without node:", in: "api/src/a.ts", text: 'import "fs";', want: /write node:fs/ },
  { name: "a word in a string", in: "api/src/a.ts", text: 'const s = "from \\"ws\\"";', want: undefined },
];
for (const { name, in: path, text, want } of cases) {
  test(`layerFaults: ${name}`, () => {
    const faults = layerFaults({ package: path.split("/")[0] ?? "", path: `packages/${path}`, text }, manifests);
    if (want) assert.match(faults.join("\n"), want);
    else assert.deepEqual(faults, []);
  });
}
