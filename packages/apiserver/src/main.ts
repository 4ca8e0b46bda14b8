import { readFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { createLogger } from "@hawser/trace";
import { type ApiserverOptions, startApiserver } from "./server.ts";

const help = `Usage: hawser apiserver --data-dir DIR [flags]

Serves the Kubernetes API on one TLS port. On its first start it makes its certificates below DIR/pki
and the administrator's kubeconfig at DIR/kubeconfig; its state is in DIR/state.db.

Flags:
  --data-dir DIR                where all of it is kept (required)
  --bind-address ADDRESS        address to listen on (default 0.0.0.0)
  --port PORT                   port to listen on, 0 for any (default 6443); also --secure-port
  --advertise-address ADDRESS   name or address clients come by, repeatable; the first stands in the kubeconfig
                                (default 127.0.0.1, or the bind address)
  --datastore NAME              where state is kept: sqlite (default); etcd is not supported yet
  --token-auth-file FILE        bearer tokens: lines of token,user,uid,"group1,group2"
  --client-ca-file FILE         further CAs whose client certificates are believed
  --kubelet-preferred-address-types LIST
                                order in which a node's addresses are tried
                                (default InternalIP,ExternalIP,Hostname,InternalDNS,ExternalDNS)
  --allow-loopback-kubelets     a node may be at 127.0.0.1 (a cluster on one machine without a network)
  --stream-peer-timeout DURATION
                                a session's client or kubelet that acknowledges nothing for so long is gone,
                                and a kubelet that answers nothing for twice as long; so is one behind a log
                                that is quiet; 0s: TCP's own patience, and no limit (default 30s)
  --no-scheduler                leave pods where they are put by hand
  --config FILE                 the same flags as YAML: \`port: 6443\`; flags win
  -v, --v N                     log verbosity: 3 shows requests, 8 their headers and backends (default 0)
  -h, --help                    this text
`;

const flags = {
  "data-dir": { type: "string" },
  "bind-address": { type: "string" },
  port: { type: "string" },
  "secure-port": { type: "string" },
  "advertise-address": { type: "string", multiple: true },
  datastore: { type: "string" },
  "token-auth-file": { type: "string" },
  "client-ca-file": { type: "string" },
  "kubelet-preferred-address-types": { type: "string" },
  "allow-loopback-kubelets": { type: "boolean" },
  "stream-peer-timeout": { type: "string" },
  "no-scheduler": { type: "boolean" },
  config: { type: "string" },
  v: { type: "string", short: "v" },
  help: { type: "boolean", short: "h" },
} as const;

type Values = { [Name in keyof typeof flags]?: string | boolean | string[] | undefined };

/** `hawser apiserver`. Resolves with the exit code: 0 after SIGTERM or SIGINT, 1 when it could not start, 2 for a wrong call. */
export async function main(argv: string[]): Promise<number> {
  let options: ApiserverOptions;
  try {
    const { values } = parseArgs({ args: argv, options: flags, strict: true });
    if (values.help) {
      process.stdout.write(help);
      return 0;
    }
    options = optionsOf({ ...(values.config !== undefined && (await configFile(values.config))), ...values });
  } catch (error) {
    process.stderr.write(`hawser apiserver: ${messageOf(error)}\nSee 'hawser apiserver --help'.\n`);
    return 2;
  }
  process.title = "hawser-apiserver";
  const log = createLogger({ name: "apiserver", verbosity: options.verbosity ?? 0 });
  try {
    await using server = await startApiserver({ ...options, log });
    log.info("hawser-apiserver ready", { url: server.url, address: server.address, port: server.port });
    const signal = await stopSignal();
    log.info("stopping", { signal });
  } catch (error) {
    log.error("hawser-apiserver failed", { error });
    return 1;
  }
  return 0;
}

function optionsOf(values: Values): ApiserverOptions {
  const text = (name: keyof Values) => {
    const value = values[name];
    return value === undefined ? undefined : String(value);
  };
  const dataDir = text("data-dir");
  if (!dataDir) throw new Error("--data-dir is required");
  const bindAddress = text("bind-address") ?? "0.0.0.0";
  const advertise = [values["advertise-address"] ?? []].flat().flatMap((value) => String(value).split(","));
  const given = {
    datastore: text("datastore"),
    tokenAuthFile: text("token-auth-file"),
    clientCAFile: text("client-ca-file"),
    kubeletPreferredAddressTypes: text("kubelet-preferred-address-types")?.split(","),
    streamPeerTimeoutMs: durationOf("--stream-peer-timeout", text("stream-peer-timeout")),
    advertiseAddresses: advertise.length > 0 ? advertise : undefined,
  };
  return {
    dataDir,
    bindAddress,
    port: numberOf("--port", text("port") ?? text("secure-port") ?? "6443", 65535),
    verbosity: numberOf("-v", text("v") ?? "0", 100),
    scheduler: values["no-scheduler"] !== true,
    allowLoopbackKubelets: values["allow-loopback-kubelets"] === true,
    ...(Object.fromEntries(
      Object.entries(given).filter(([, value]) => value !== undefined),
    ) as Partial<ApiserverOptions>),
  };
}

async function configFile(path: string): Promise<Values> {
  const { parse } = await import("yaml");
  const values: unknown = parse(await readFile(path, "utf8")) ?? {};
  if (typeof values !== "object" || values === null || Array.isArray(values))
    throw new Error(`${path}: not a map of flags`);
  const strange = Object.keys(values).find(
    (name) => !Object.hasOwn(flags, name) || name === "config" || name === "help",
  );
  if (strange !== undefined) throw new Error(`${path}: unknown setting ${JSON.stringify(strange)}`);
  return values;
}

function numberOf(flag: string, text: string, max: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value > max)
    throw new Error(`${flag}: ${JSON.stringify(text)} is no number from 0 to ${max}`);
  return value;
}

/** `30s`, `2m`, `500ms`: milliseconds. */
function durationOf(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const [, number, unit = "s"] = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text) ?? [];
  if (number === undefined) throw new Error(`${flag}: ${JSON.stringify(text)} is no duration such as 30s`);
  return Number(number) * ({ ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[unit] ?? 0);
}

function stopSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, () => resolve(name));
  });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
