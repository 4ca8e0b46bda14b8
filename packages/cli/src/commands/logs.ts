import { setTimeout as delay } from "node:timers/promises";
import { type Pod, StatusError } from "@hawser/api";
import type { KubeClient, LogsOptions } from "@hawser/client";
import { annotatedContainer, containersOf, defaulted } from "../cluster/containers.ts";
import { findPods } from "../cluster/pods.ts";
import { type Context, command } from "../command.ts";
import { CommandError, Interrupted, messageFor, UsageError } from "../errors.ts";
import { duration, integer, text, toggle, type Values } from "../flags/flag.ts";
import { parseRFC3339 } from "../flags/go-time.ts";
import type { Parsed } from "../flags/parse.ts";
import { write } from "../io.ts";
import { brokenOff } from "./broken-session.ts";
import { wholeLines } from "./log-lines.ts";
import { checkTimeout, peerTimeoutFlag, podRunningTimeout } from "./stream-flags.ts";

const flags = {
  "all-containers": toggle({ usage: "Get all containers' logs in the pod(s)." }),
  "all-pods": toggle({ usage: "Get logs from all pod(s). Sets prefix to true." }),
  container: text({ short: "c", usage: "Print the logs of this container" }),
  follow: toggle({ short: "f", usage: "Specify if the logs should be streamed." }),
  "ignore-errors": toggle({
    usage: "If watching / following pod logs, allow for any errors that occur to be non-fatal",
  }),
  "insecure-skip-tls-verify-backend": toggle({
    usage:
      "Skip verifying the identity of the kubelet that logs are requested from.  In theory, an attacker could provide invalid log content back. You might want to use this if your kubelet serving certificates have expired.",
  }),
  "limit-bytes": integer({ usage: "Maximum bytes of logs to return. Defaults to no limit." }),
  "max-log-requests": integer(
    { usage: "Specify maximum number of concurrent logs to follow when using by a selector. Defaults to 5." },
    5,
  ),
  "pod-running-timeout": podRunningTimeout(20_000),
  prefix: toggle({ usage: "Prefix each log line with the log source (pod name and container name)" }),
  previous: toggle({
    short: "p",
    usage: "If true, print the logs for the previous instance of the container in a pod if it exists.",
  }),
  selector: text({
    short: "l",
    usage:
      "Selector (label query) to filter on, supports '=', '==', '!=', 'in', 'notin'.(e.g. -l key1=value1,key2=value2). Matching objects must satisfy all of the specified label constraints.",
  }),
  "stream-peer-timeout": {
    ...peerTimeoutFlag,
    usage:
      "The length of time (like 30s, 2m) for which a log that is followed may be quiet until the servers are asked whether they are there, and for which they may leave that unanswered. Zero for never",
  },
  since: duration({
    usage:
      "Only return logs newer than a relative duration like 5s, 2m, or 3h. Defaults to all logs. Only one of since-time / since may be used.",
  }),
  "since-time": text({
    usage:
      "Only return logs after a specific date (RFC3339). Defaults to all logs. Only one of since-time / since may be used.",
  }),
  tail: integer(
    {
      usage:
        "Lines of recent log file to display. Defaults to -1 with no selector, showing all log lines otherwise 10, if a selector is provided.",
    },
    -1,
  ),
  timestamps: toggle({ usage: "Include timestamps on each line in the log output" }),
};

const use = "logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]";

/** Source: kubernetes/kubectl pkg/cmd/logs/logs.go */
export const logs = command({
  name: "logs",
  use,
  short: "Print the logs for a container in a pod",
  long: `Print the logs for a container in a pod or specified resource. If the pod has only one container, the container
name is optional.`,
  examples: `# What the pod has written so far
hawser logs exec-test-nginx

# Its last 20 lines, and what it writes from now on
hawser logs -f --tail=20 exec-test-nginx

# Of all containers of all pods with a label, each line with where it is from
hawser logs -l run=web --all-containers --prefix

# Of the instance before a container's last restart
hawser logs -p -c web exec-test-nginx`,
  flags,
  notes: `Exit codes:
  0, 1 for an error, 255 when a log that was followed broke off.`,
  run: runLogs,
});

type Flags = Values<typeof flags>;

async function runLogs(context: Context, line: Parsed<typeof flags>): Promise<number> {
  const { word, given, options } = readArguments(line);
  const [client, { namespace }] = await Promise.all([context.client(), context.namespace()]);
  const pods = await podsOf(context, client, { word, given, namespace });
  const sources = pods.flatMap((pod) => sourcesOf(context, pod, given));
  const request = { context, client, sources, options, given };
  try {
    if (given.follow && sources.length > 1) await inParallel(request);
    else for (const source of sources) await consume(request, source, given.prefix);
  } catch (error) {
    if (context.signal.aborted && context.signal.reason instanceof Interrupted) throw context.signal.reason;
    throw error;
  }
  return 0;
}

type LogQuery = Omit<LogsOptions, "namespace" | "pod" | "signal" | "container">;

function readArguments({ args, flags: before, changed }: Parsed<typeof flags>): {
  word: string;
  given: Flags;
  options: LogQuery;
} {
  const usage = `expected '${use}'.\nPOD or TYPE/NAME is a required argument for the logs command`;
  const [word = "", inline] = args;
  if ((args.length === 0 && !before.selector) || args.length > 2) throw new UsageError(usage);
  if (before.selector && args.length === 1) throw new UsageError("only a selector (-l) or a POD name is allowed");
  const given: Flags = {
    ...before,
    prefix: before.prefix || before["all-pods"],
    container: inline ?? before.container,
  };
  if (given["since-time"] && given.since) {
    throw new CommandError("at most one of `sinceTime` or `sinceSeconds` may be specified");
  }
  if (given["all-containers"] && given.container) {
    throw new CommandError(`--all-containers=true should not be specified with container name ${given.container}`);
  }
  if (changed.has("container") && inline !== undefined) {
    throw new CommandError("only one of -c or an inline [CONTAINER] arg is allowed");
  }
  if (given["limit-bytes"] < 0) throw new CommandError("--limit-bytes must be greater than 0");
  if (given.since < 0) throw new CommandError("--since must be greater than 0");
  if (given.tail < -1) throw new CommandError("--tail must be greater than or equal to -1");
  checkTimeout(given["pod-running-timeout"]);
  const tail = given.selector && !changed.has("tail") ? 10 : given.tail;
  const since = given["since-time"] && parseRFC3339(given["since-time"]);
  return {
    word,
    given,
    options: {
      follow: given.follow,
      previous: given.previous,
      timestamps: given.timestamps,
      peerTimeoutMs: given["stream-peer-timeout"],
      insecureSkipTLSVerifyBackend: given["insecure-skip-tls-verify-backend"],
      ...(given["limit-bytes"] > 0 && { limitBytes: given["limit-bytes"] }),
      ...(tail >= 0 && { tailLines: tail }),
      ...(given.since > 0 && { sinceSeconds: Math.round(given.since / 1000) }),
      ...(since && { sinceTime: since }),
    },
  };
}

async function podsOf(
  context: Context,
  client: KubeClient,
  { word, given, namespace }: { word: string; given: Flags; namespace: string },
): Promise<Pod[]> {
  const { signal } = context;
  if (given.selector) {
    const { items } = await client
      .list<Pod>({ resource: "pods", namespace }, { labelSelector: given.selector, signal })
      .catch((error: unknown) => {
        throw notFindable(error, given.selector);
      });
    if (items.length === 0) context.warn(`No resources found in ${namespace} namespace.`);
    return items;
  }
  const query = { word, namespace, timeoutMs: given["pod-running-timeout"], purpose: "get the logs from", signal };
  const { type, pods } = await findPods(client, query).catch((error: unknown) => {
    if (!(error instanceof StatusError) || error.code !== 404) throw error;
    throw new CommandError(`error from server (NotFound): ${error.message} in namespace ${JSON.stringify(namespace)}`, {
      cause: error,
    });
  });
  if (type.kind === "Pod" || pods.length === 1 || given["all-pods"]) return pods;
  context.warn(`Found ${pods.length} pods, using pod/${pods[0].metadata?.name}`);
  return [pods[0]];
}

/** Source: kubernetes/cli-runtime pkg/resource/selector.go, for the words */
function notFindable(error: unknown, selector: string): unknown {
  if (!(error instanceof StatusError) || (error.code !== 400 && error.code !== 404)) return error;
  const message = `Unable to find "/v1, Resource=pods" that match label selector ${JSON.stringify(selector)}, field selector "": ${error.message}`;
  return new StatusError({ ...error.status, message }, { cause: error });
}

/** One container's log. */
interface Source {
  pod: Pod;
  container: string;
}

/** Source: kubernetes/kubectl pkg/polymorphichelpers/logsforobject.go */
function sourcesOf(context: Context, pod: Pod, given: Flags): Source[] {
  if (given["all-containers"]) {
    const order = ["initContainers", "containers", "ephemeralContainers"];
    return containersOf(pod)
      .sort((a, b) => order.indexOf(a.set) - order.indexOf(b.set))
      .map(({ name }) => ({ pod, container: name }));
  }
  let wanted = given.container;
  const annotated = annotatedContainer(pod);
  if (!wanted && annotated?.found) wanted = annotated.name;
  else if (!wanted && annotated)
    context.warn(`Default container name ${JSON.stringify(annotated.name)} not found in pod ${pod.metadata?.name}`);
  const [first, ...others] = containersOf(pod);
  if (!wanted && first) {
    wanted = first.name;
    if (others.length > 0 && !given["all-pods"]) context.warn(defaulted(pod, first.name));
  }
  if (!containersOf(pod).some(({ name }) => name === wanted)) {
    throw new CommandError(`container ${wanted} is not valid for pod ${pod.metadata?.name}`);
  }
  return [{ pod, container: wanted }];
}

interface LogRequest {
  context: Context;
  client: KubeClient;
  sources: Source[];
  options: LogQuery;
  given: Flags;
}

async function inParallel(request: LogRequest): Promise<void> {
  const { sources, given } = request;
  if (sources.length > given["max-log-requests"]) {
    throw new CommandError(
      `you are attempting to follow ${sources.length} log streams, but maximum allowed concurrency is ${given["max-log-requests"]}, use --max-log-requests to increase the limit`,
    );
  }
  // The first that fails ends the command, and with it the client and the others.
  await Promise.all(sources.map((source) => consume(request, source, true)));
}

/** `apart` keeps the lines of several sources apart. */
async function consume({ context, client, options, given }: LogRequest, source: Source, apart: boolean): Promise<void> {
  const { io, signal } = context;
  const { name = "", namespace = "" } = source.pod.metadata ?? {};
  const { logs: open } = await import("@hawser/client");
  const prefix = given.prefix ? `[pod/${name}/${source.container}] ` : "";
  const fetch = async () => {
    let answered = false;
    const onAnswer = () => {
      answered = true;
    };
    const of = { namespace, pod: name, node: source.pod.spec?.nodeName, container: source.container };
    const bytes = open(client, { ...options, ...of, onAnswer, signal });
    try {
      for await (const chunk of apart ? wholeLines(bytes, prefix) : bytes) await write(io.stdout, chunk);
    } catch (error) {
      if (!given.follow || !answered || !isConnectionError(error)) throw error;
      // But for a lost server, it says itself no more than that it was reading.
      const isLost = "kind" in error && error.kind === "timeout";
      const cause = !isLost && error.cause instanceof Error ? error.cause : error;
      throw await brokenOff("log", { cause, client, pod: source.pod });
    }
  };
  try {
    if (given.follow) await onceStarted(fetch, { context, given });
    else await fetch();
  } catch (error) {
    if (!given["ignore-errors"] || signal.aborted) throw error;
    await context.out(`error: ${messageFor(error)}\n`);
  }
}

function isConnectionError(error: unknown): error is Error {
  return error instanceof Error && error.name === "ConnectionError";
}

/** Milliseconds between two tries to follow a container that has not started. */
const retryPeriod = 1000;

/** Follows also what has not started yet, as newer kubectls do. Says once why there is nothing to see. */
async function onceStarted(
  fetch: () => Promise<void>,
  { context, given }: Pick<LogRequest, "context" | "given">,
): Promise<void> {
  const deadline = performance.now() + given["pod-running-timeout"];
  for (let told = false; ; told = true) {
    try {
      return await fetch();
    } catch (error) {
      const waits = error instanceof StatusError && error.code === 400 && /is waiting to start/.test(error.message);
      if (!waits || performance.now() + retryPeriod > deadline) throw error;
      if (!told) context.warn(error.message.trimEnd());
      await delay(retryPeriod, undefined, { signal: context.signal });
    }
  }
}
