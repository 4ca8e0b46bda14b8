import { writeSync } from "node:fs";
import { join } from "node:path";
import { help } from "./help.ts";
import { stillAtEnd } from "./still-at-end.ts";

type Main = (argv: string[]) => Promise<number>;

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
export async function main(argv: string[]): Promise<number> {
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
  if (first === "help" && topic !== undefined && Object.hasOwn(commands, topic)) return main([...rest, "--help"]);
  const load = Object.hasOwn(commands, first) ? commands[first] : undefined;
  if (load) return (await load())(rest);
  const client = await loadClient(first);
  return client.main(argv);
}

/** The client of a verb: from the sources as it is; from the bundles by the way that starts fastest. */
async function loadClient(verb: string): Promise<{ main: Main }> {
  if (!import.meta.filename.endsWith(".cjs")) return await import("@hawser/cli/main");
  // An exec connects for certain. Node reads the authorities it trusts beside us from the moment that TLS is loaded, and
  // we would wait for them later, though the kubeconfig names its own.
  if (verb === "exec") await import("node:https");
  const { loadWithKeptCode } = await import("./kept-code.ts");
  const bundle = join(import.meta.dirname, verb === "exec" ? "exec.cjs" : "cli.cjs");
  return await loadWithKeptCode(bundle, /^[a-z-]{1,20}$/.test(verb) ? verb : "client");
}

/** What a write to a pipe without a reader, or to a terminal that is gone, fails with. */
const readerGone: ReadonlySet<string | undefined> = new Set(["EPIPE", "EIO", "ECONNRESET", "ERR_STREAM_DESTROYED"]);

/** Runs this process's own command line and ends the process with its exit code. Called by bin/hawser.cjs. */
export async function start(): Promise<void> {
  stillAtEnd();
  // `hawser get pods | head -1`, or a terminal that was closed: the reader has gone, and there is nobody to tell. What
  // changes the machine goes on to its end all the same; anything else ends.
  const command = process.argv[2] ?? "";
  const goesOn = command === "up" || command === "down";
  const onFailure = (err: Error) => goesOn || process.exit(outputFailed(err));
  process.stdout.on("error", onFailure);
  process.stderr.on("error", () => {});
  const code = await main(process.argv.slice(2)).catch((err: unknown) => {
    process.stderr.write(`hawser: ${err instanceof Error ? explain(err) : String(err)}\n`);
    return 1;
  });
  await Promise.all([taken(process.stdout), taken(process.stderr)]);
  if (process.stdout.errored) onFailure(process.stdout.errored); // of the last write, before its event
  process.exit(code);
}

/** The exit code: as if SIGPIPE had ended us, or 1 where what was written is not all there, on a full disk say. */
function outputFailed(err: NodeJS.ErrnoException): number {
  if (readerGone.has(err.code)) return 141;
  try {
    writeSync(process.stderr.fd, `error: write /dev/stdout: ${err.message}\n`);
  } catch {
    // the same disk, likely: the exit code tells
  }
  return 1;
}

/** Resolves when the reader has taken all that was written; a pipe takes what fits and the rest when it can. */
function taken(stream: NodeJS.WriteStream): Promise<void> {
  if (stream.writableLength === 0) return Promise.resolve();
  return new Promise((resolve) => stream.write("", () => resolve()));
}

/** The stack only where it is asked for: people get the message. */
function explain(err: Error): string {
  return process.env.HAWSER_DEBUG ? (err.stack ?? err.message) : err.message;
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
