import { join } from "node:path";
import { help } from "./help.ts";
import { type Main, runAsProcess } from "./process.ts";

/** The exports of a bundle, with the compiled code that is kept under the name. */
type LoadBundle = (file: string, name: string) => unknown;

/** Verbs of the node that the client, which has kubectl's, does not have: they need no `node` before them. */
const nodeVerbs = ["ps", "images", "pull", "inspect", "stats"];

function ofNode(verb: string): () => Promise<Main> {
  return async () => {
    const { node } = await import("./node/main.ts");
    return (argv) => node([verb, ...argv]);
  };
}

/** What each first word runs. A hop's code is loaded only when it is asked for; whatever else is a verb of the client. */
const commands: Record<string, () => Promise<Main>> = {
  up: async () => (await import("./commands/main.ts")).up,
  down: async () => (await import("./commands/main.ts")).down,
  status: async () => (await import("./commands/main.ts")).status,
  apiserver: async () => (await import("@hawser/apiserver/main")).main,
  kubelet: async () => (await import("@hawser/kubelet/main")).main,
  runtime: async () => (await import("@hawser/runtime/main")).main,
  image: async () => {
    const { socketOf, usualEndpoint } = await import("./node/endpoint.ts");
    const endpoint = await usualEndpoint(process.env);
    if (endpoint !== undefined) process.env.HAWSER_RUNTIME_SOCKET = socketOf(endpoint);
    return (await import("@hawser/runtime/image")).main;
  },
  node: async () => (await import("./node/main.ts")).node,
  ...Object.fromEntries(nodeVerbs.map((verb) => [verb, ofNode(verb)])),
  // Not for people: how `down` has the containers removed, in the network namespace where the runtime ran.
  "remove-containers": async () => (await import("./commands/remove-containers.ts")).removeContainers,
};

/** Runs one `hawser` command line (without node and the program's path). Resolves with the exit code. */
export async function main(
  argv: string[],
  { loadWithKeptCode }: { loadWithKeptCode?: LoadBundle | undefined } = {},
): Promise<number> {
  const [first, ...rest] = argv;
  if (first === undefined || first === "--help" || first === "-h" || (first === "help" && rest.length === 0)) {
    process.stdout.write(help);
    return 0;
  }
  // With kubectl's flags, `version` is the client's.
  if (first === "--version" || (first === "version" && rest.length === 0)) {
    process.stdout.write(`hawser ${await version()} (Node ${process.version})\n`);
    return 0;
  }
  // kubectl's `logs` has no such flag.
  if (first === "logs" && asksForContainer(rest)) return (await ofNode("logs")())(rest);
  const [topic] = rest;
  if (first === "help" && topic !== undefined && Object.hasOwn(commands, topic))
    return main([...rest, "--help"], { loadWithKeptCode });
  const load = Object.hasOwn(commands, first) ? commands[first] : undefined;
  if (load) return (await load())(rest);
  const client = await loadClient(first, loadWithKeptCode);
  return client.main(argv);
}

/** The client of a verb: from the sources as it is; from the bundle by the way that starts fastest. `exec` has a bundle of its own. */
async function loadClient(verb: string, loadWithKeptCode: LoadBundle | undefined): Promise<{ main: Main }> {
  if (!loadWithKeptCode) return await import("@hawser/cli/main");
  const name = /^[a-z-]{1,20}$/.test(verb) ? verb : "client";
  return loadWithKeptCode(join(import.meta.dirname, "cli.cjs"), name) as { main: Main }; // what the build makes of it
}

/** Runs this process's own command line and ends the process with its exit code. Called by bin/hawser.cjs. */
export function start({ loadWithKeptCode }: { loadWithKeptCode?: LoadBundle } = {}): Promise<void> {
  return runAsProcess((argv) => main(argv, { loadWithKeptCode }));
}

/** Does a `logs` command line ask for this node's log of a container by its id, and not for a pod's? */
function asksForContainer(argv: readonly string[]): boolean {
  const end = argv.indexOf("--");
  return argv.slice(0, end < 0 ? argv.length : end).some((word) => /^--container-id(=|$)/.test(word));
}

async function version(): Promise<string> {
  const { readFile } = await import("node:fs/promises");
  const manifest: { version: string } = JSON.parse(
    await readFile(join(import.meta.dirname, "../package.json"), "utf8"),
  );
  return manifest.version;
}

if (import.meta.main) void start();
