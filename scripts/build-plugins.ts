// What of other people's code a bundle can do without, so that a short command has less to load.
import { dirname, join } from "node:path";
import type { Plugin } from "esbuild";

/** Of ws only what is used: its files do nothing when they are loaded. */
export const wsInParts: Plugin = {
  name: "ws-in-parts",
  setup(plugin) {
    plugin.onResolve({ filter: /^\.\/lib\// }, ({ path, importer }) =>
      importer.endsWith("ws/wrapper.mjs") ? { path: join(dirname(importer), path), sideEffects: false } : null,
    );
  },
};

/** ws asks for zlib when it is loaded, and uses it for compressed messages alone, of which we have none. */
export const zlibOnUse: Plugin = {
  name: "zlib-on-use",
  setup(plugin) {
    plugin.onResolve({ filter: /^zlib$/ }, ({ importer }) =>
      importer.includes("/ws/lib/") ? { path: "zlib", namespace: "on-use" } : null,
    );
    plugin.onLoad({ filter: /^zlib$/, namespace: "on-use" }, () => ({
      contents: 'module.exports = new Proxy({}, { get: (_, name) => require("node:zlib")[name] });',
    }));
  },
};

/** grpc-js reads .proto files for its channelz and ORCA services alone, which we do not serve: 0.3 MB of source. */
export const noProtoLoader: Plugin = {
  name: "no-proto-loader",
  setup(plugin) {
    plugin.onResolve({ filter: /^@grpc\/proto-loader$/ }, ({ path }) => ({ path, namespace: "left-out" }));
    plugin.onLoad({ filter: /./, namespace: "left-out" }, ({ path }) => ({
      contents: `throw new Error(${JSON.stringify(`${path} is not in this bundle`)});`,
    }));
  },
};

/** A client that is only ever asked for one of its verbs: the others stay in cli.cjs, where main.ts looks for them. */
export function oneVerb(verb: string): Plugin {
  return {
    name: "one-verb",
    setup(plugin) {
      plugin.onResolve({ filter: /^\.\/commands\// }, ({ path, kind, importer }) =>
        kind === "dynamic-import" && importer.endsWith("cli/src/run.ts") && path !== `./commands/${verb}.ts`
          ? { path: "./cli.cjs", external: true }
          : null,
      );
    },
  };
}
