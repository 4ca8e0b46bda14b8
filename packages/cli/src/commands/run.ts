import { type KubernetesObject, type Pod, StatusError } from "@hawser/api";
import type { KubeClient } from "@hawser/client";
import { awaitObject } from "../cluster/await.ts";
import { chooseContainer } from "../cluster/containers.ts";
import { knownTypes } from "../cluster/known-types.ts";
import { type Context, command } from "../command.ts";
import { CommandError, ExitError, messageFor, UsageError } from "../errors.ts";
import type { Parsed } from "../flags/parse.ts";
import { write } from "../io.ts";
import { nameOf, objectPrinter } from "../printers/objects.ts";
import { attachTo } from "./attach.ts";
import { maxLogBytes } from "./attach-history.ts";
import { BrokenSession } from "./broken-session.ts";
import { dryRunOf } from "./delete.ts";
import { type RunFlags, runFlags } from "./run-flags.ts";
import { podOf } from "./run-pod.ts";
import { brokenSessionNote, isCompleted } from "./stream-flags.ts";

/** Source: kubernetes/kubectl pkg/cmd/run/run.go */
export const run = command({
  name: "run",
  use: 'run NAME --image=image [--env="key=value"] [--port=port] [--dry-run=server|client] [--overrides=inline-json] [--command] -- [COMMAND] [args...]',
  short: "Run a particular image on the cluster",
  long: "Create and run a particular image in a pod.",
  examples: `# Start an nginx pod
hawser run exec-test-nginx --image=nginx

# Start a shell in a pod of its own, which is deleted when the shell ends
hawser run -it --rm shell --image=busybox --restart=Never -- sh

# Run a command, see its output, end with its exit code
hawser run job --image=busybox --restart=Never --attach --rm -- sh -c 'date; exit 3'

# Only show what would be created
hawser run exec-test-nginx --image=nginx --dry-run=client -o yaml`,
  flags: runFlags,
  notes: brokenSessionNote,
  run: runRun,
});

async function runRun(context: Context, line: Parsed<typeof runFlags>): Promise<number> {
  const { name, args, flags, dryRun } = readArguments(line);
  const pod = podOf(name, args, flags);
  const printed = await printerOf(flags, dryRun);
  if (dryRun === "client") {
    await context.out(printed(pod));
    return 0;
  }
  const [client, { namespace }] = await Promise.all([context.client(), context.namespace()]);
  const created = await client.create<Pod>({ resource: "pods", namespace }, pod, {
    fieldManager: flags["field-manager"],
    ...(dryRun === "server" && { dryRun: "All" }),
    // What --rm is to remove must be known to be there: a signal waits for the answer.
    signal: flags.rm ? undefined : context.signal,
  });
  const whole: Pod = { ...created, apiVersion: "v1", kind: "Pod" };
  if (!flags.attach) {
    await context.out(printed(whole));
    return 0;
  }
  await using _ = removal(context, { client, pod: whole, enabled: flags.rm, quiet: flags.quiet });
  return await follow(context, { client, pod: whole, flags });
}

function readArguments({ args: words, flags: before, changed, argsBeforeDash }: Parsed<typeof runFlags>) {
  if (!changed.has("image")) throw new CommandError('required flag(s) "image" not set');
  const [name = "", ...args] = words;
  if (words.length === 0 || argsBeforeDash === 0) throw new UsageError("NAME is required for run");
  const flags: RunFlags = { ...before, attach: changed.has("attach") ? before.attach : before.stdin };
  if (!flags.image) throw new CommandError("--image is required");
  if (!isImage(flags.image))
    throw new CommandError(`Invalid image name ${JSON.stringify(flags.image)}: invalid reference format`);
  if (flags.tty && !flags.stdin) throw new UsageError("-i/--stdin is required for containers with -t/--tty=true");
  if (flags.port && !/^\d+$/.test(flags.port)) throw new CommandError("--port must be a number");
  if (!["", "Always", "OnFailure", "Never"].includes(flags.restart)) {
    throw new UsageError(`invalid restart policy: ${flags.restart}`);
  }
  if (!["", "Always", "IfNotPresent", "Never"].includes(flags["image-pull-policy"])) {
    throw new UsageError(`invalid image pull policy: ${flags["image-pull-policy"]}`);
  }
  const dryRun = dryRunOf(flags["dry-run"]);
  if (!flags.attach && flags.rm) throw new UsageError("--rm should only be used for attached containers");
  if (flags.attach && dryRun !== "none") {
    throw new UsageError(
      "--dry-run=[server|client] can't be used with attached containers options (--attach, --stdin, or --tty)",
    );
  }
  return { name, args, flags, dryRun };
}

/** Source: distribution/reference regexp.go */
function isImage(image: string): boolean {
  const host = "(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\\[[a-fA-F0-9:]+\\])(?::\\d+)?/";
  const part = "[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*";
  const suffix = "(?::[\\w][\\w.-]{0,127})?(?:@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?";
  return new RegExp(`^(?:${host})?${part}(?:/${part})*${suffix}$`).test(image);
}

async function printerOf({ output }: RunFlags, dryRun: string): Promise<(pod: KubernetesObject) => string> {
  if (!output) {
    const dry = { none: "", client: " (dry run)", server: " (server dry run)" }[dryRun] ?? "";
    return (pod) => `${nameOf(pod)} created${dry}\n`;
  }
  if (output === "wide" || output.startsWith("custom-columns")) {
    throw new CommandError(
      `unable to match a printer suitable for the output format ${JSON.stringify(output)}, allowed formats are: json,jsonpath,jsonpath-as-json,jsonpath-file,name,yaml`,
    );
  }
  const printer = await objectPrinter({ output });
  return (pod) => printer.print(pod);
}

interface Running {
  client: KubeClient;
  pod: Pod;
  flags: RunFlags;
}

function targetOf({ metadata }: Pod) {
  const [type] = knownTypes.filter(({ resource }) => resource === "pods");
  if (!type) throw new TypeError("pods are a known type");
  return { type, namespace: metadata?.namespace, name: metadata?.name ?? "" };
}

/** Attaches as soon as the pod runs, or shows its log when it is over already; then ends with its exit code. */
async function follow(context: Context, running: Running): Promise<number> {
  const { client, pod, flags } = running;
  const { signal } = context;
  const timeoutMs = flags["pod-running-timeout"];
  const started = await awaitObject<Pod, Pod>(client, { target: targetOf(pod), timeoutMs, signal, check: startedPod });
  const container = chooseContainer(started, "", flags.quiet ? undefined : context.warn);
  if (isCompleted(started)) await showLog(context, running, container.name);
  else {
    try {
      const { stdin, tty, quiet, "stream-peer-timeout": peerTimeoutMs } = flags;
      const history = () => logOf(context, running, container.name);
      await attachTo(context, { client, pod: started, container, stdin, tty, quiet, peerTimeoutMs, history });
    } catch (error) {
      if (signal.aborted || isLost(error)) throw error;
      context.warn(
        `warning: couldn't attach to pod/${pod.metadata?.name}, falling back to streaming logs: ${messageFor(error)}`,
      );
      await showLog(context, running, container.name);
    }
  }
  const policy = started.spec?.restartPolicy;
  if (flags["leave-stdin-open"] || policy === "Always") return 0;
  const ended = await awaitObject<Pod, Pod>(client, {
    target: targetOf(pod),
    timeoutMs,
    signal,
    check: (object) => endedPod(object, policy === "OnFailure"),
  });
  return exitOf(ended);
}

/** A session that broke off is its own failure: a log after it would hide that. */
function isLost(error: unknown): boolean {
  return error instanceof BrokenSession;
}

function startedPod(object: Pod | undefined): Pod | undefined {
  if (!object) throw gone();
  if (isCompleted(object)) return object;
  const ready = object.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True");
  return object.status?.phase === "Running" && ready ? object : undefined;
}

function endedPod(object: Pod | undefined, successOnly: boolean): Pod | undefined {
  if (!object) throw gone();
  if (object.status?.phase === "Succeeded") return object;
  return object.status?.phase === "Failed" && !successOnly ? object : undefined;
}

/** kubectl has no name for the pod here, and says so. */
function gone(): StatusError {
  return new StatusError({ status: "Failure", reason: "NotFound", code: 404, message: 'pods "" not found' });
}

function exitOf({ metadata, status }: Pod): number {
  if (status?.phase === "Succeeded") return 0;
  const ended = status?.containerStatuses?.[0]?.state?.terminated;
  const where = `${metadata?.namespace}/${metadata?.name}`;
  if (!ended?.exitCode) throw new CommandError(`pod ${where} failed with unknown exit code`);
  const text = `pod ${where} terminated (${ended.reason ?? ""})\n${ended.message ?? ""}`;
  throw new ExitError(text.trimEnd(), { exitCode: ended.exitCode });
}

async function showLog(context: Context, { client, pod }: Running, container: string): Promise<void> {
  const { logs } = await import("@hawser/client");
  const { name = "", namespace = "" } = pod.metadata ?? {};
  const log = logs(client, { namespace, pod: name, container, signal: context.signal });
  for await (const chunk of log) await write(context.io.stdout, chunk);
}

/** What the container has written until now; nothing where the log cannot be had in time, of which a warning tells. */
async function logOf(context: Context, { client, pod }: Running, container: string): Promise<Uint8Array> {
  const { logs } = await import("@hawser/client");
  const { name = "", namespace = "" } = pod.metadata ?? {};
  const signal = AbortSignal.any([context.signal, AbortSignal.timeout(5_000)]);
  const parts: Uint8Array[] = [];
  try {
    const options = { namespace, pod: name, container, limitBytes: maxLogBytes, signal };
    for await (const chunk of logs(client, options)) parts.push(chunk);
  } catch (error) {
    if (context.signal.aborted) return new Uint8Array();
    context.warn(`warning: couldn't fetch pre-attach logs: ${messageFor(error)}`);
  }
  return Buffer.concat(parts);
}

interface Removal extends Pick<Running, "client" | "pod"> {
  enabled: boolean;
  quiet: boolean;
}

/** Deletes the pod on the way out, also when a signal ends the command. */
function removal(context: Context, { client, pod, enabled, quiet }: Removal): AsyncDisposable {
  const { name = "", namespace = "" } = pod.metadata ?? {};
  return {
    async [Symbol.asyncDispose]() {
      if (!enabled) return;
      try {
        await client.delete({ resource: "pods", namespace, name }, { propagationPolicy: "Background" });
        if (!quiet) context.io.stdout.write(`pod ${JSON.stringify(name)} deleted\n`);
      } catch (error) {
        if (!(error instanceof StatusError && error.code === 404)) context.warn(messageFor(error));
      }
    },
  };
}
