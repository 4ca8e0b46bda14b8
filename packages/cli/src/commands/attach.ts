import type { Pod } from "@hawser/api";
import type { KubeClient } from "@hawser/client";
import { chooseContainer, type FoundContainer } from "../cluster/containers.ts";
import { findPods } from "../cluster/pods.ts";
import { type Context, command } from "../command.ts";
import { CommandError } from "../errors.ts";
import { text } from "../flags/flag.ts";
import type { Parsed } from "../flags/parse.ts";
import { enterRawMode } from "../terminal.ts";
import { HistoryGate } from "./attach-history.ts";
import { toldWhereItBroke } from "./broken-session.ts";
import { Detached, DetachFilter, defaultDetachKeys, parseDetachKeys } from "./detach-keys.ts";
import { brokenSessionNote, checkTimeout, chooseTerminal, isCompleted, streamFlags } from "./stream-flags.ts";
import { transportsOf } from "./transports.ts";

const attachFlags = {
  ...streamFlags,
  "detach-keys": text(
    { usage: "Keys that leave a terminal and let the container go on, such as ctrl-a,d; empty for none" },
    defaultDetachKeys,
  ),
};

/** Source: kubernetes/kubectl pkg/cmd/attach/attach.go */
export const attach = command({
  name: "attach",
  use: "attach (POD | TYPE/NAME) -c CONTAINER",
  short: "Attach to a running container",
  long: "Attach to a process that is already running inside an existing container.",
  examples: `# See the output of the pod mypod from now on
hawser attach mypod

# Type into its container web, with this terminal as its terminal
hawser attach mypod -c web -it

# The same, and leave it by Ctrl-X, q: the container goes on
hawser attach mypod -c web -it --detach-keys=ctrl-x,q`,
  flags: attachFlags,
  notes: brokenSessionNote,
  run: runAttach,
});

async function runAttach(context: Context, { args, flags }: Parsed<typeof attachFlags>): Promise<number> {
  const word = readArguments(args);
  checkTimeout(flags["pod-running-timeout"]);
  const detachKeys = parseDetachKeys(flags["detach-keys"]);
  const [client, { namespace }] = await Promise.all([context.client(), context.namespace()]);
  const {
    pods: [pod],
  } = await findPods(client, {
    word,
    namespace,
    timeoutMs: flags["pod-running-timeout"],
    purpose: "attach to",
    signal: context.signal,
  });
  if (isCompleted(pod)) {
    throw new CommandError(`cannot attach a container in a completed pod; current phase is ${pod.status?.phase}`);
  }
  let container: FoundContainer;
  try {
    container = chooseContainer(pod, flags.container, flags.quiet ? undefined : context.warn);
  } catch (cause) {
    throw new CommandError(`cannot attach to the container: ${cause instanceof Error ? cause.message : cause}`, {
      cause,
    });
  }
  const { stdin, tty, quiet } = flags;
  const peerTimeoutMs = flags["stream-peer-timeout"];
  await attachTo(context, { client, pod, container, stdin, tty, quiet, peerTimeoutMs, detachKeys });
  return 0;
}

export interface AttachTarget {
  client: KubeClient;
  pod: Pod;
  container: FoundContainer;
  stdin: boolean;
  tty: boolean;
  quiet: boolean;
  /** Milliseconds, as for the library's attach. */
  peerTimeoutMs: number;
  /** What leaves a terminal; the usual keys where absent. */
  detachKeys?: Uint8Array;
  /** What the container wrote before; asked for when the session is open, and shown before what the session brings. */
  history?: () => Promise<Uint8Array>;
}

/** Attaches this process's streams to a container, its terminal to the container's where both have one. */
export async function attachTo(context: Context, target: AttachTarget): Promise<void> {
  const { io, signal, program } = context;
  const { client, pod, container, stdin, tty, quiet, peerTimeoutMs, history } = target;
  const { detachKeys = parseDetachKeys(defaultDetachKeys) } = target;
  const { name = "", namespace = "" } = pod.metadata ?? {};
  if (tty && !container.tty && !quiet) {
    context.warn(`error: Unable to use a TTY - container ${container.name} did not allocate one`);
  }
  // A container with a terminal speaks through it, whether it was asked for or not.
  const { stdin: withInput, raw } = chooseTerminal(context, { stdin, tty: container.tty === true, quiet });
  const { attach: run } = await import("@hawser/client/remotecommand");
  if (!quiet) context.warn("If you don't see a command prompt, try pressing enter.");
  const session = async () => {
    await using terminal = raw ? await enterRawMode(io, { redraw: true }) : undefined;
    const gate = history && new HistoryGate(io);
    const left = new AbortController();
    const keys =
      raw && detachKeys.length > 0
        ? new DetachFilter(detachKeys, () => left.abort(new Detached("detached")))
        : undefined;
    const onLost = (error: Error) => keys?.destroy(error);
    if (keys) io.stdin.on("error", onLost).pipe(keys); // which alone does not pass errors on
    let released: Promise<void> | undefined;
    try {
      await run(client, {
        namespace,
        pod: name,
        container: container.name,
        stdin: withInput ? (keys?.typed() ?? io.stdin) : undefined,
        stdout: gate?.stdout ?? io.stdout,
        stderr: raw ? undefined : (gate?.stderr ?? io.stderr),
        tty: raw,
        size: terminal?.sizes,
        signal: AbortSignal.any([signal, left.signal]),
        peerTimeoutMs,
        ...transportsOf(io.env, "KUBECTL_REMOTE_COMMAND_WEBSOCKETS"),
        onOpen() {
          released = history?.().then((log) => gate?.release(log));
          released?.catch(() => {}); // awaited below; an output that fails also fails the session's next write
        },
      });
    } catch (error) {
      if (!(error instanceof Detached)) throw error;
    } finally {
      if (keys) io.stdin.off("error", onLost).unpipe(keys).pause();
      await released;
    }
  };
  await toldWhereItBroke(session(), { client, pod });
  if (quiet || !stdin || !raw || pod.spec?.restartPolicy !== "Always") return;
  const again = `'${program} attach ${name} -c ${container.name} -i -t'`;
  await context.out(
    container.set === "ephemeralContainers"
      ? `Session ended, the ephemeral container will not be restarted but may be reattached using ${again} if it is still running\n`
      : `Session ended, resume using ${again} command when the pod is running\n`,
  );
}

function readArguments(args: readonly string[]): string {
  const [first, second] = args;
  if (first === undefined) throw new CommandError("at least 1 argument is required for attach");
  if (args.length > 2) {
    throw new CommandError(
      `expected POD, TYPE/NAME, or TYPE NAME, (at most 2 arguments) saw ${args.length}: [${args.join(" ")}]`,
    );
  }
  return second === undefined ? first : `${first}/${second}`;
}
