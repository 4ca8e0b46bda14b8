import type { ClusterConfig, KubeClient } from "@hawser/client";
import type { Command, Context } from "./command.ts";
import { CommandError, ending } from "./errors.ts";
import type { FlagTable, Values } from "./flags/flag.ts";
import { globalFlags } from "./flags/global.ts";
import { commandHelp, optionsText } from "./flags/help.ts";
import { parseFlags } from "./flags/parse.ts";
import { type IO, write } from "./io.ts";
import { visible } from "./printers/visible.ts";

/** Each verb, loaded only when it is asked for. */
const verbs: Record<string, () => Promise<Command<FlagTable>>> = {
  run: async () => erased((await import("./commands/run.ts")).run),
  exec: async () => erased((await import("./commands/exec.ts")).exec),
  attach: async () => erased((await import("./commands/attach.ts")).attach),
  cp: async () => erased((await import("./commands/cp.ts")).cp),
  logs: async () => erased((await import("./commands/logs.ts")).logs),
  get: async () => erased((await import("./commands/get.ts")).get),
  delete: async () => erased((await import("./commands/delete.ts")).remove),
  "port-forward": async () => erased((await import("./commands/port-forward.ts")).portForward),
  create: async () => erased((await import("./commands/create.ts")).create),
  apply: async () => erased((await import("./commands/apply.ts")).apply),
  wait: async () => erased((await import("./commands/wait.ts")).wait),
  config: async () => erased((await import("./commands/config.ts")).config),
  version: async () => erased((await import("./commands/version.ts")).version),
};

/** The verbs, for help and for the program around this package. */
export const verbNames: readonly string[] = Object.keys(verbs);

// A command is run with what its own table parsed, so that its exact flag types matter to itself alone.
function erased<Table extends FlagTable>(command: Command<Table>): Command<FlagTable> {
  return command as unknown as Command<FlagTable>;
}

export interface RunOptions {
  io: IO;
  signal: AbortSignal;
  program?: string;
}

/** Runs one command line, without the program's name. Tells on stderr what went wrong; resolves with the exit code. */
export async function run(argv: readonly string[], { io, signal, program = "hawser" }: RunOptions): Promise<number> {
  const { verb, before, after } = findVerb(argv);
  const path = verb ? `${program} ${verb}` : program;
  await using resources = new AsyncDisposableStack();
  try {
    if (verb === undefined) return await withoutVerb(before, { io, program });
    if (verb === "options")
      return await tell(io, `The following options can be passed to any command:\n\n${optionsText(globalFlags)}\n`);
    if (verb === "help") return await run([...after, "--help"], { io, signal, program });
    const load = Object.hasOwn(verbs, verb) ? verbs[verb] : undefined;
    if (!load) throw new CommandError(unknownVerb(verb, program));
    const command = await load();
    const line = parseFlags({ ...globalFlags, ...command.flags }, [...before, ...after]);
    if (line.help) return await tell(io, commandHelp({ ...command, path }));
    const globals = line.flags as Values<typeof globalFlags>; // parsed by that table among others
    return await command.run(context({ io, signal, program, globals, changed: line.changed }, resources), line);
  } catch (error) {
    const { text, exitCode } = ending(signal.aborted ? signal.reason : error, path);
    if (text) io.stderr.write(text.endsWith("\n") ? text : `${text}\n`);
    return exitCode;
  }
}

/** The verb is the first word that is neither a global flag nor a global flag's value. */
function findVerb(argv: readonly string[]): { verb: string | undefined; before: string[]; after: string[] } {
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] ?? "";
    if (word === "--") break;
    if (!word.startsWith("-")) return { verb: word, before: argv.slice(0, i), after: argv.slice(i + 1) };
    const name = word.replace(/^--?/, "");
    const flag = Object.entries(globalFlags).find(([long, { short }]) => long === name || short === name)?.[1];
    if (flag && flag.bare === undefined) i++;
  }
  return { verb: undefined, before: [...argv], after: [] };
}

async function withoutVerb(argv: readonly string[], { io, program }: { io: IO; program: string }): Promise<number> {
  parseFlags(globalFlags, argv);
  const commands = await Promise.all(Object.values(verbs).map((load) => load()));
  const lines = commands.map(({ name, short }) => `  ${name.padEnd(14)}${short}`);
  return await tell(
    io,
    `${program} controls a Kubernetes cluster, with kubectl's commands.\n\nCommands:\n${lines.join("\n")}\n\nUsage:\n  ${program} [flags] [options]\n\nUse "${program} <command> --help" for more information about a given command.\nUse "${program} options" for a list of global command-line options (applies to all commands).\n`,
  );
}

function unknownVerb(verb: string, program: string): string {
  const near = verbNames.filter((name) => name.startsWith(verb.slice(0, 2)));
  const hint = near.length > 0 ? `\n\nDid you mean this?\n${near.map((name) => `\t${name}`).join("\n")}` : "";
  return `unknown command ${JSON.stringify(verb)} for ${JSON.stringify(program)}${hint}`;
}

async function tell(io: IO, text: string): Promise<number> {
  await write(io.stdout, text);
  return 0;
}

interface ContextParts extends Pick<Context, "io" | "signal" | "program" | "globals"> {
  changed: ReadonlySet<string>;
}

function context({ io, signal, program, globals, changed }: ContextParts, resources: AsyncDisposableStack): Context {
  let loaded: Promise<ClusterConfig> | undefined;
  let client: Promise<KubeClient> | undefined;
  const given = (name: keyof typeof globals) => (changed.has(name) ? (globals[name] as string) : undefined); // of those asked for, all are texts

  const config = () => {
    loaded ??= import("@hawser/client/kubeconfig").then(({ loadKubeconfig }) =>
      loadKubeconfig({
        env: io.env,
        path: given("kubeconfig"),
        context: given("context"),
        cluster: given("cluster"),
        user: given("user"),
        namespace: given("namespace"),
        server: given("server"),
        token: given("token"),
        certificateAuthority: given("certificate-authority"),
        insecureSkipTLSVerify: changed.has("insecure-skip-tls-verify")
          ? globals["insecure-skip-tls-verify"]
          : undefined,
        tlsServerName: given("tls-server-name"),
        clientCertificate: given("client-certificate"),
        clientKey: given("client-key"),
        username: given("username"),
        password: given("password"),
        as: given("as"),
        asUID: given("as-uid"),
        asGroups: changed.has("as-group") ? globals["as-group"] : undefined,
      }),
    );
    return loaded;
  };
  return {
    program,
    io,
    globals,
    signal,
    config,
    client() {
      client ??= openClient({ io, globals, config }).then((opened) => resources.use(opened));
      return client;
    },
    async namespace() {
      return { namespace: (await config()).namespace, explicit: changed.has("namespace") };
    },
    out: (text) => write(io.stdout, text),
    warn: (line) => {
      io.stderr.write(`${visible(line)}\n`);
    },
  };
}

async function openClient({ io, globals, config }: Pick<Context, "io" | "globals" | "config">): Promise<KubeClient> {
  const { createClient } = await import("@hawser/client/client");
  const warned = new Set<string>();
  return createClient(await config(), {
    timeoutMs: globals["request-timeout"],
    onWarning(text) {
      if (warned.has(text)) return;
      warned.add(text);
      io.stderr.write(`Warning: ${visible(text)}\n`);
    },
    ...(globals.v >= 6 && {
      onAnswer({ method, url, statusCode, milliseconds }) {
        io.stderr.write(`${method} ${url} ${statusCode} in ${Math.round(milliseconds)} milliseconds\n`);
      },
    }),
  });
}
