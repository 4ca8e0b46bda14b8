// Step 1 of 8. After: client/src/remotecommand.ts (the request).
import type { KubeClient } from "@hawser/client";
import { chooseContainer } from "../cluster/containers.ts";
import { isOfList, readManifests } from "../cluster/manifests.ts";
import { type ObjectRef, placeOf } from "../cluster/objects.ts";
import { findPods } from "../cluster/pods.ts";
import { type Context, command } from "../command.ts";
import { CommandError, ExitError, UsageError } from "../errors.ts";
import { slice, type Values } from "../flags/flag.ts";
import type { Parsed } from "../flags/parse.ts";
import { enterRawMode } from "../terminal.ts";
import { toldWhereItBroke } from "./broken-session.ts";
import { brokenSessionNote, checkTimeout, chooseTerminal, isCompleted, streamFlags } from "./stream-flags.ts";
import { transportsOf } from "./transports.ts";

const execFlags = {
  ...streamFlags,
  filename: slice({ short: "f", usage: "to use to exec into the resource" }),
};

/** Source: kubernetes/kubectl pkg/cmd/exec/exec.go */
export const exec = command({
  name: "exec",
  use: "exec (POD | TYPE/NAME) [-c CONTAINER] [flags] -- COMMAND [args...]",
  short: "Execute a command in a container",
  long: "Execute a command in a container.",
  examples: `# Run date in the pod mypod, in its default container
hawser exec mypod -- date

# The same in its container web
hawser exec mypod -c web -- date

# A shell, with this terminal as its terminal
hawser exec -it mypod -- sh

# Send a file in, and take one out
hawser exec -i mypod -- sh -c 'cat > /tmp/in' < in
hawser exec mypod -- cat /tmp/out > out

# In the first pod of a deployment
hawser exec deploy/web -- date

# In the pod that a manifest is of
hawser exec -f pod.yaml -- date`,
  flags: execFlags,
  notes: brokenSessionNote,
  run: runExec,
});

async function runExec(context: Context, line: Parsed<typeof execFlags>): Promise<number> {
  const { flags } = line;
  const { word, command: remote } = readArguments(line);
  checkTimeout(flags["pod-running-timeout"]);
  const [client, place] = await Promise.all([context.client(), context.namespace()]);
  const target = flags.filename.length > 0 ? await objectInFile(context, { client, place, flags }) : undefined;
  const namespace = target?.namespace ?? place.namespace;
  const { signal } = context;
  const query = {
    word: target ?? word,
    namespace,
    timeoutMs: flags["pod-running-timeout"],
    purpose: "attach to",
    signal,
  };
  const [found, { exec: run }] = await Promise.all([findPods(client, query), loadMeanwhile()]);
  const [pod] = found.pods;
  if (isCompleted(pod)) {
    throw new CommandError(`cannot exec into a container in a completed pod; current phase is ${pod.status?.phase}`);
  }
  // A name that was given is the server's to judge, as in kubectl 1.33.
  const container = flags.container || chooseContainer(pod, "", flags.quiet ? undefined : context.warn).name;
  const { stdin, raw } = chooseTerminal(context, flags);
  const { io } = context;
  const session = async () => {
    await using terminal = raw ? await enterRawMode(io) : undefined;
    return await run(client, {
      namespace,
      pod: pod.metadata?.name ?? "",
      container,
      command: remote,
      stdin: stdin ? io.stdin : undefined,
      stdout: io.stdout,
      stderr: raw ? undefined : io.stderr,
      tty: raw,
      size: terminal?.sizes,
      signal,
      peerTimeoutMs: flags["stream-peer-timeout"],
      ...transportsOf(io.env, "KUBECTL_REMOTE_COMMAND_WEBSOCKETS"),
    });
  };
  const { exitCode } = await toldWhereItBroke(session(), { client, pod });
  if (exitCode !== 0) throw new ExitError(`command terminated with exit code ${exitCode}`, { exitCode });
  return 0;
}

/** What a session needs is loaded once the question for the pod is on its way, while the server answers. */
async function loadMeanwhile(): Promise<typeof import("@hawser/client/remotecommand")> {
  // Two turns: at the end of the first the request has been made, in the second a near server's handshake begins.
  for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => setImmediate(resolve));
  const client = await import("@hawser/client/remotecommand");
  await client.loadRemoteCommand();
  return client;
}

interface ObjectInFile {
  client: KubeClient;
  place: { namespace: string; explicit: boolean };
  flags: Values<typeof execFlags>;
}

/** The one object that the files hold. Source: kubernetes/cli-runtime pkg/resource/builder.go */
async function objectInFile({ io }: Context, { client, place, flags }: ObjectInFile): Promise<ObjectRef> {
  const [manifest, ...more] = await readManifests({ filenames: flags.filename, recursive: false, stdin: io.stdin });
  if (!manifest || more.length > 0 || isOfList(manifest))
    throw new CommandError("cannot exec into multiple objects at a time");
  return await placeOf(client, manifest, place);
}

function readArguments({ args, argsBeforeDash, flags: { filename } }: Parsed<typeof execFlags>): {
  word: string;
  command: string[];
} {
  const word = argsBeforeDash === 0 ? "" : (args[0] ?? "");
  const fromFile = filename.length > 0;
  if (argsBeforeDash === undefined || argsBeforeDash > 1) {
    if (args.length > 1 || (args.length > 0 && fromFile)) {
      throw new UsageError("exec [POD] [COMMAND] is not supported anymore. Use exec [POD] -- [COMMAND] instead");
    }
  }
  if (word && fromFile) {
    throw new CommandError("resource/name arguments cannot be provided when a path is specified");
  }
  if (!word && !fromFile) throw new CommandError("pod, type/name or --filename must be specified");
  const command = argsBeforeDash === undefined ? [] : args.slice(argsBeforeDash);
  if (command.length === 0) throw new CommandError("you must specify at least one command for the container");
  return { word, command };
}
