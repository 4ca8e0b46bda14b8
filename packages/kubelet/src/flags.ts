import { parseArgs } from "node:util";
import { readPlainFile } from "@hawser/files";
import { parse } from "yaml";
import { defaultSettings, duration, type FileSettings, type KubeletSettings, readSettings } from "./settings.ts";

/** Largest configuration file, bytes. */
const maxConfigBytes = 1024 * 1024;

export const help = `Usage: hawser kubelet --runtime-endpoint unix://PATH --kubeconfig FILE [flags]

The node agent: runs the pods bound to this node through a CRI runtime, and serves exec, attach, port-forward and logs.

  --runtime-endpoint unix://PATH  the CRI runtime: hawser runtime, containerd, CRI-O (default unix:///run/hawser/runtime.sock)
  --kubeconfig FILE               the API server, and who this node is there
  --config FILE                   a KubeletConfiguration (YAML or JSON); flags go before it
  --node-name NAME                the node's name (default: this machine's)
  --node-ip ADDRESS               the node's address (default: of the interface with the default route)
  --node-labels K=V,...           labels the node is registered with
  --address ADDRESS               where the kubelet serves (default 0.0.0.0)
  --port PORT                     ... and on which port (default 10250)
  --root-dir DIR                  where pods' files are kept (default /var/lib/kubelet)
  --pod-logs-dir DIR              where containers' logs are kept (default /var/log/pods; with another --root-dir, DIR/log/pods)
  --cgroup-root PATH              below which cgroup pods get theirs (default /)
  --tls-cert-file FILE            the certificate the kubelet serves with (default: one signed by itself)
  --tls-private-key-file FILE     ... and its key
  --client-ca-file FILE           signs the client certificates of callers; without it only bearer tokens let in
  --cluster-dns ADDRESS,...       name servers for pods with dnsPolicy ClusterFirst
  --cluster-domain DOMAIN         ... and the domain (default cluster.local)
  --max-pods N                    pods at once (default 110)
  --streaming-connection-idle-timeout DURATION
                                  a session without a byte either way is dropped; 0s: never (default 4h)
  --stream-peer-timeout DURATION  a session's peer that acknowledges nothing is gone, and a runtime that answers nothing
                                  for twice as long; 0s: TCP's own patience, and no limit (default 30s)
  -v N                            how much is logged: 0 little, 4 each request (default 0)
  -h, --help                      this text
`;

const flags = {
  "runtime-endpoint": { type: "string" },
  kubeconfig: { type: "string" },
  config: { type: "string" },
  "node-name": { type: "string" },
  "node-ip": { type: "string" },
  "node-labels": { type: "string" },
  address: { type: "string" },
  port: { type: "string" },
  "root-dir": { type: "string" },
  "pod-logs-dir": { type: "string" },
  "cgroup-root": { type: "string" },
  "tls-cert-file": { type: "string" },
  "tls-private-key-file": { type: "string" },
  "client-ca-file": { type: "string" },
  "cluster-dns": { type: "string" },
  "cluster-domain": { type: "string" },
  "max-pods": { type: "string" },
  "streaming-connection-idle-timeout": { type: "string" },
  "stream-peer-timeout": { type: "string" },
  v: { type: "string", short: "v" },
  help: { type: "boolean", short: "h" },
} as const;

export interface CommandLine {
  help: boolean;
  verbosity: number;
  kubeconfig: string | undefined;
  files: FileSettings;
  settings: Partial<KubeletSettings>;
}

/** The command line with what its --config says; flags go before the file. Throws, naming what is wrong. */
export async function readCommandLine(argv: string[]): Promise<CommandLine> {
  const { values } = parseArgs({ args: argv, options: flags, strict: true });
  const fromFile = values.config === undefined ? {} : await readConfigFile(values.config);
  const { tlsCertFile, tlsPrivateKeyFile, clientCAFile, ...settings } = fromFile;
  const files = given({
    tlsCertFile: values["tls-cert-file"] ?? tlsCertFile,
    tlsPrivateKeyFile: values["tls-private-key-file"] ?? tlsPrivateKeyFile,
    clientCAFile: values["client-ca-file"] ?? clientCAFile,
  });
  const rootDir = values["root-dir"];
  const own: Partial<KubeletSettings> = given({
    runtimeEndpoint: values["runtime-endpoint"],
    nodeName: values["node-name"]?.toLowerCase(),
    nodeIP: values["node-ip"],
    nodeLabels: values["node-labels"] === undefined ? undefined : labels(values["node-labels"]),
    address: values.address,
    port: number("port", values.port, 65_535),
    rootDir,
    podLogsDir: values["pod-logs-dir"],
    cgroupRoot: values["cgroup-root"],
    clusterDNS: values["cluster-dns"]?.split(",").filter(Boolean),
    clusterDomain: values["cluster-domain"],
    maxPods: number("max-pods", values["max-pods"], 10_000),
    streamingConnectionIdleTimeout: time(
      "streaming-connection-idle-timeout",
      values["streaming-connection-idle-timeout"],
    ),
    streamPeerTimeout: time("stream-peer-timeout", values["stream-peer-timeout"]),
  });
  return {
    help: values.help ?? false,
    verbosity: number("v", values.v, 10) ?? 0,
    kubeconfig: values.kubeconfig,
    files,
    settings: { ...defaultSettings(), ...settings, ...own },
  };
}

async function readConfigFile(file: string): Promise<Partial<KubeletSettings> & FileSettings> {
  const text = await readPlainFile(file, maxConfigBytes).catch((cause: NodeJS.ErrnoException) => {
    throw new Error(`--config ${file}: ${cause.code ?? cause.message}`, { cause });
  });
  return readSettings(parse(text));
}

function number(name: string, text: string | undefined, most: number): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!/^\d+$/.test(text) || value > most) throw new Error(`--${name} ${text}: no number from 0 to ${most}`);
  return value;
}

function time(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  try {
    return duration(text);
  } catch (cause) {
    throw new Error(`--${name}: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
}

function labels(text: string): Record<string, string> {
  const pairs = text.split(",").filter(Boolean);
  return Object.fromEntries(pairs.map((pair) => [pair.split("=")[0] ?? "", pair.split("=").slice(1).join("=")]));
}

/** Without the members that are undefined. */
function given<T extends object>(members: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as never; // just that
}
