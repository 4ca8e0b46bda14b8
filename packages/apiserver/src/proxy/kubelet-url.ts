import type { Pod, PodAttachOptions, PodExecOptions, PodLogOptions, PodPortForwardOptions } from "@hawser/api";

/** Path and query of a request to a kubelet. */
export type KubeletPath = `/${string}`;

/**
 * What the kubelet is asked for an exec: `/exec/NAMESPACE/POD/CONTAINER?command=sh&input=1&output=1&tty=1`.
 *
 * Source: kubernetes/kubernetes pkg/registry/core/pod/strategy.go streamLocation
 */
export function execPath(pod: Pod, container: string, options: PodExecOptions): KubeletPath {
  return path("exec", pod, container, [
    ...options.command.map((part): Pair => ["command", part]),
    ...streamFlags(options),
  ]);
}

export function attachPath(pod: Pod, container: string, options: PodAttachOptions): KubeletPath {
  return path("attach", pod, container, streamFlags(options));
}

/** `ports` are for the old WebSocket protocol alone. */
export function portForwardPath(pod: Pod, { ports }: PodPortForwardOptions): KubeletPath {
  return path("portForward", pod, undefined, ports.length > 0 ? [["port", ports.join(",")]] : []);
}

export function logPath(pod: Pod, container: string, options: PodLogOptions): KubeletPath {
  const { follow, previous, timestamps, sinceSeconds, sinceTime, tailLines, limitBytes, stream } = options;
  const all: [string, string | number | boolean | undefined][] = [
    ["follow", follow],
    ["previous", previous],
    ["timestamps", timestamps],
    ["sinceSeconds", sinceSeconds],
    ["sinceTime", sinceTime],
    ["tailLines", tailLines],
    ["limitBytes", limitBytes],
    ["stream", stream],
  ];
  const given = all.filter(([, value]) => value !== undefined && value !== false);
  return path(
    "containerLogs",
    pod,
    container,
    given.map(([name, value]): Pair => [name, String(value)]),
  );
}

type Pair = [name: string, value: string];

/** The CRI's names for the streams, which the kubelet's query has kept. */
function streamFlags({ stdin, stdout, stderr, tty }: PodAttachOptions): Pair[] {
  const flags: [string, boolean][] = [
    ["input", stdin],
    ["output", stdout],
    ["error", stderr],
    ["tty", tty],
  ];
  return flags.filter(([, on]) => on).map(([name]): Pair => [name, "1"]);
}

/** Names sorted, the values of one name in their order, as Go's url.Values.Encode writes them. */
function path(action: string, { metadata }: Pod, container: string | undefined, query: Pair[]): KubeletPath {
  const parts = [
    action,
    metadata?.namespace ?? "",
    metadata?.name ?? "",
    ...(container === undefined ? [] : [container]),
  ];
  const sorted = new URLSearchParams(query);
  sorted.sort();
  const text = sorted.toString();
  return `/${parts.map(encodeURIComponent).join("/")}${text && `?${text}`}`;
}
