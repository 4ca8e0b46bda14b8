import { isIP } from "node:net";
import type { KubernetesObject, Pod } from "@hawser/api";
import type { ForwardedPort, KubeClient, ListenError } from "@hawser/client";
import { findPods } from "../cluster/pods.ts";
import { type Context, command } from "../command.ts";
import { CommandError, messageFor, UsageError } from "../errors.ts";
import { slice } from "../flags/flag.ts";
import type { Parsed } from "../flags/parse.ts";
import { brokenOff } from "./broken-session.ts";
import { checkTimeout, isCompleted, peerTimeoutFlag, podRunningTimeout } from "./stream-flags.ts";
import { transportsOf } from "./transports.ts";

const flags = {
  address: slice(
    {
      usage:
        "Addresses to listen on (comma separated). Only accepts IP addresses or localhost as a value. When localhost is supplied, hawser will try to bind on both 127.0.0.1 and ::1 and will fail if neither of these addresses are available to bind.",
    },
    ["localhost"],
  ),
  "pod-running-timeout": podRunningTimeout(60_000),
  "stream-peer-timeout": peerTimeoutFlag,
};

/** Source: kubernetes/kubectl pkg/cmd/portforward/portforward.go, kubernetes/client-go tools/portforward/portforward.go */
export const portForward = command({
  name: "port-forward",
  use: "port-forward TYPE/NAME [options] [LOCAL_PORT:]REMOTE_PORT [...[LOCAL_PORT_N:]REMOTE_PORT_N]",
  short: "Forward one or more local ports to a pod",
  long: `Forward one or more local ports to a pod.

Use resource type/name such as deployment/web to select a pod. A connection that the pod refuses fails alone, with
its reason on stderr: the others, and the listener, go on. Ends when the pod does, and with Ctrl-C. With 255 when the
session breaks off.`,
  examples: `# Listen on 5000 and 6000, forwarding to the same ports of the pod
hawser port-forward pod/mypod 5000 6000

# Listen on 8888, forwarding to 5000
hawser port-forward pod/mypod 8888:5000

# Listen on any free port
hawser port-forward pod/mypod :5000

# To the port of a service's pod that its port named https leads to
hawser port-forward service/web 8443:https`,
  flags,
  run: runPortForward,
});

async function runPortForward(context: Context, { args, flags: given }: Parsed<typeof flags>): Promise<number> {
  const [word, ...texts] = args;
  if (word === undefined || texts.length === 0) {
    throw new UsageError("TYPE/NAME and list of ports are required for port-forward");
  }
  checkTimeout(given["pod-running-timeout"]);
  const { io, signal } = context;
  const [client, { namespace }] = await Promise.all([context.client(), context.namespace()]);
  const query = { word, namespace, timeoutMs: given["pod-running-timeout"], purpose: "attach to", signal };
  const { object, type, pods } = await findPods(client, query);
  const [pod] = pods;
  const specs = type.kind === "Service" ? servicePorts(texts, object, pod) : podPorts(texts, pod);
  if (pod.status?.phase !== "Running") {
    throw new CommandError(`unable to forward port because pod is not running. Current status=${pod.status?.phase}`);
  }
  const addresses = given.address.map((address) => {
    if (address === "localhost" || isIP(address) !== 0) return address;
    throw new CommandError(`${address} is not a valid IP`);
  });
  const { portForward: open } = await import("@hawser/client");
  await using forward = await open(client, {
    namespace,
    pod: pod.metadata?.name ?? "",
    ports: specs.map(({ local, remote }) => ({ local: number(local, "local"), remote })),
    addresses,
    signal,
    peerTimeoutMs: given["stream-peer-timeout"],
    ...transportsOf(io.env, "KUBECTL_PORT_FORWARD_WEBSOCKETS"),
    onConnection: ({ local }) => {
      io.stdout.write(`Handling connection for ${local}\n`);
    },
    onListenError: (port: ForwardedPort, error: ListenError) => {
      context.warn(`Unable to listen on port ${port.local}: ${error.message}`);
    },
    onError: ({ local, remote }, error) => {
      context.warn(`error: an error occurred forwarding ${local} -> ${remote}: ${messageFor(error)}`);
    },
  }).catch((cause: unknown) => {
    throw upgradeFailures.has(cause instanceof Error ? cause.name : "") ? upgradeFailed(cause) : cause;
  });
  for (const { address, local, remote } of forward.listeners) {
    const host = address.includes(":") ? `[${address}]` : address;
    await context.out(`Forwarding from ${host}:${local} -> ${remote}\n`);
  }
  try {
    await forward.closed;
  } catch (cause) {
    throw await lost(cause, { client, pod });
  }
  if (signal.aborted && isInterrupt(signal.reason)) return 0; // Ctrl-C is how this command is meant to end
  if (!signal.aborted) throw new CommandError("lost connection to pod");
  throw signal.reason;
}

/** The end of the pod is the session's, with kubectl's words and code; anything else has broken it off. */
async function lost(cause: unknown, { client, pod }: { client: KubeClient; pod: Pod }): Promise<unknown> {
  if (!(cause instanceof Error)) return cause;
  const { name = "", namespace = "", uid } = pod.metadata ?? {};
  const signal = AbortSignal.timeout(2000);
  const now = await client.get<Pod>({ resource: "pods", namespace, name }, { signal }).catch((error: unknown) => error);
  const isGone = now instanceof Error && "code" in now && now.code === 404;
  const isOver = !(now instanceof Error) && ((now as Pod).metadata?.uid !== uid || isCompleted(now as Pod));
  if (isGone || isOver) return new CommandError(cause.message, { cause });
  const why = cause.cause instanceof Error ? `${cause.message}: ${cause.cause.message}` : cause.message;
  return await brokenOff("session", { cause: new Error(why, { cause }), client, pod });
}

/** What opening throws when there is no session, in distinction from a port that cannot be listened on. */
const upgradeFailures = new Set(["StatusError", "UpgradeError", "ConnectionError"]);

/** Source: kubernetes/client-go tools/portforward/portforward.go ForwardPorts, for the words */
function upgradeFailed(cause: unknown): CommandError {
  return new CommandError(`error upgrading connection: ${cause instanceof Error ? cause.message : cause}`, { cause });
}

function isInterrupt(reason: unknown): boolean {
  return reason instanceof Error && "signal" in reason && reason.signal === "SIGINT";
}

interface Spec {
  local: string;
  remote: string;
}

/** The port of the pod is known; the local one is not checked yet. */
interface Resolved {
  local: string;
  remote: number;
}

/** `80`, `8080:80`, `:80`, and names in place of the port of the pod. */
function split(spec: string): Spec {
  const parts = spec.split(":");
  const [first = "", second] = parts;
  if (parts.length > 2) throw new CommandError(`invalid port format '${spec}'`);
  if (second === undefined) return { local: first, remote: first };
  if (second === "") throw new CommandError("remote port cannot be empty");
  return { local: first || "0", remote: second };
}

function number(text: string, what: "local" | "remote"): number {
  const value = Number(text);
  const digits = /^\d+$/.test(text);
  if (!digits || value > 65535) {
    const why = digits ? "value out of range" : "invalid syntax";
    throw new CommandError(
      `error parsing ${what} port '${text}': strconv.ParseUint: parsing ${JSON.stringify(text)}: ${why}`,
    );
  }
  if (what === "remote" && value === 0) throw new CommandError("remote port must be > 0");
  return value;
}

function podPorts(specs: readonly string[], pod: Pod): Resolved[] {
  return specs.map((spec) => {
    const { local, remote } = split(spec);
    const port = /^\d+$/.test(remote) ? number(remote, "remote") : portNamed(pod, remote);
    refuseUDP(
      pod.spec?.containers?.flatMap(({ ports = [] }) =>
        ports.map(({ containerPort, protocol }) => ({ port: containerPort, protocol })),
      ) ?? [],
      port,
      remote,
    );
    return { local: local === remote ? String(port) : local, remote: port };
  });
}

function portNamed(pod: Pod, name: string): number {
  const ports = pod.spec?.containers?.flatMap(({ ports: each = [] }) => each) ?? [];
  const found = ports.find((port) => port.name === name);
  if (!found) throw new CommandError(`Pod '${pod.metadata?.name}' does not have a named port '${name}'`);
  return found.containerPort;
}

interface ServicePort {
  name?: string;
  port: number;
  protocol?: string;
  targetPort?: number | string;
}

function servicePorts(specs: readonly string[], service: KubernetesObject, pod: Pod): Resolved[] {
  const { spec } = service as { spec?: { ports?: ServicePort[]; clusterIP?: string } }; // its type is Service
  const ports = spec?.ports ?? [];
  const name = service.metadata?.name ?? "";
  return specs.map((text) => {
    const { local, remote } = split(text);
    const wanted = /^\d+$/.test(remote) ? number(remote, "remote") : undefined;
    const found = ports.find((port) => (wanted === undefined ? port.name === remote : port.port === wanted));
    if (!found) {
      throw new CommandError(
        wanted === undefined
          ? `Service '${name}' does not have a named port '${remote}'`
          : `Service ${name} does not have a service port ${wanted}`,
      );
    }
    refuseUDP(ports, found.port, remote);
    const target = spec?.clusterIP === "None" ? found.port : (found.targetPort ?? found.port);
    const port = typeof target === "number" ? target || found.port : portNamed(pod, target);
    return { local: local === remote ? String(found.port) : local, remote: port };
  });
}

function refuseUDP(
  ports: readonly { port: number; protocol?: string | undefined }[],
  port: number,
  shown: string,
): void {
  const protocols = ports.filter((each) => each.port === port).map(({ protocol = "TCP" }) => protocol);
  if (protocols.length > 0 && !protocols.includes("TCP")) {
    throw new CommandError(`${protocols[0]} protocol is not supported for ${shown}`);
  }
}
