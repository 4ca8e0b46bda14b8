// The verbs that start, stop and show a whole cluster.
import { parseArgs } from "node:util";
import { down as takeClusterDown } from "../cluster/down.ts";
import { defaultDataDir, hops } from "../cluster/paths.ts";
import { type ClusterStatus, status as clusterStatus, isHealthy } from "../cluster/status.ts";
import { up as startCluster } from "../cluster/up.ts";
import { downHelp, statusHelp, upHelp } from "./help.ts";

/** After this long without an end, `up` says what it is doing, milliseconds. */
const patience = 1_500;

export async function up(argv: string[]): Promise<number> {
  const { values } = parseArgs({
    args: argv,
    options: {
      "api-port": { type: "string" },
      "data-dir": { type: "string" },
      help: { type: "boolean", short: "h" },
      "kubelet-port": { type: "string" },
      merge: { type: "boolean" },
      "node-ip": { type: "string" },
      "node-name": { type: "string" },
      "oci-runtime": { type: "string" },
      "pod-cidr": { type: "string" },
      "runtime-config": { type: "string" },
      "runtime-endpoint": { type: "string" },
      v: { type: "string", short: "v" },
    },
  });
  if (values.help) return print(upHelp);
  const begin = performance.now();
  const progress = patientProgress(begin);
  const { paths, settings, started } = await withSignals((signal) =>
    startCluster({
      dataDir: values["data-dir"],
      apiPort: port(values["api-port"], "--api-port"),
      kubeletPort: port(values["kubelet-port"], "--kubelet-port"),
      nodeName: values["node-name"],
      nodeAddress: values["node-ip"],
      podCIDR: values["pod-cidr"],
      ociRuntime: ociRuntime(values["oci-runtime"]),
      runtimeEndpoint: values["runtime-endpoint"],
      runtimeConfig: values["runtime-config"],
      verbosity: verbosity(values.v),
      merge: values.merge,
      onProgress: progress.say,
      signal,
    }),
  ).finally(progress.stop);
  const how =
    started.length === 0
      ? "runs already"
      : `is up in ${((performance.now() - begin) / 1000).toFixed(1)} s${started.length < hops.length && !settings.runtimeEndpoint ? ` (started again: ${started.join(", ")})` : ""}`;
  const use = settings.merged
    ? `kubectl get nodes    (context "hawser" in ${settings.merged.path})`
    : `kubectl --kubeconfig ${paths.kubeconfig} get nodes`;
  console.log(
    `cluster in ${paths.dataDir} ${how}: node ${settings.nodeName} is Ready, API on https://${settings.apiAddress}:${settings.apiPort}\n  ${use}`,
  );
  return 0;
}

export async function down(argv: string[]): Promise<number> {
  const { values } = parseArgs({
    args: argv,
    options: {
      "data-dir": { type: "string" },
      help: { type: "boolean", short: "h" },
      "keep-data": { type: "boolean" },
    },
  });
  if (values.help) return print(downHelp);
  const dataDir = values["data-dir"] ?? defaultDataDir;
  const keepData = values["keep-data"] ?? false;
  const was = await takeClusterDown({ dataDir, keepData, onProgress: (line) => console.error(`hawser: ${line}`) });
  console.log(
    was
      ? `cluster in ${dataDir} is down${keepData ? "; its data is kept" : " and gone"}`
      : `there is no cluster in ${dataDir}`,
  );
  return 0;
}

export async function status(argv: string[]): Promise<number> {
  const { values } = parseArgs({
    args: argv,
    options: { "data-dir": { type: "string" }, help: { type: "boolean", short: "h" } },
  });
  if (values.help) return print(statusHelp);
  const dataDir = values["data-dir"] ?? defaultDataDir;
  const found = await clusterStatus({ dataDir });
  if (!found) {
    console.log(`there is no cluster in ${dataDir}; hawser up starts one`);
    return 1;
  }
  process.stdout.write(statusText(found, Date.now()));
  return isHealthy(found) ? 0 : 1;
}

function statusText({ paths, settings, hops: found, node }: ClusterStatus, now: number): string {
  const endpoints = {
    apiserver: `https://${settings.apiAddress}:${settings.apiPort}`,
    kubelet: `https://${settings.nodeAddress}:${settings.kubeletPort}`,
    runtime: `unix://${paths.runtimeSocket}`,
  };
  const rows = hops.map((hop) => {
    if (hop === "runtime" && settings.runtimeEndpoint) return ["runtime", "not ours", "", settings.runtimeEndpoint];
    const running = found[hop];
    if (!running) return [hop, "not running", "", `see ${paths.log}/${hop}.log; hawser up starts it again`];
    return [hop, `process ${running.pid}`, age(now - running.since), endpoints[hop]];
  });
  rows.push(["node", settings.nodeName, "", node.message]);
  const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const lines = rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  return `${lines.join("\n")}\nkubeconfig  ${paths.kubeconfig}\n`;
}

function age(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)}h` : `${Math.floor(seconds / 86_400)}d`;
}

/** Says nothing while things go fast; from `patience` on, what happened and each thing that happens. */
function patientProgress(begin: number): { say(line: string): void; stop(): void } {
  const held: string[] = ["starting the cluster"];
  let patient = true;
  const say = (line: string) => {
    if (patient) held.push(line);
    else process.stderr.write(`hawser: ${line}\n`);
  };
  const timer = setTimeout(
    () => {
      patient = false;
      for (const line of held) say(line);
    },
    patience - (performance.now() - begin),
  );
  return { say, stop: () => clearTimeout(timer) };
}

/** The first SIGINT, SIGTERM or SIGHUP asks the work to stop and tidy up; the second ends the process as usual. */
async function withSignals<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  const stop = (signal: NodeJS.Signals) => controller.abort(new Error(`stopped by ${signal}`));
  for (const signal of signals) process.once(signal, stop);
  try {
    return await work(controller.signal);
  } finally {
    for (const signal of signals) process.off(signal, stop);
  }
}

function port(text: string | undefined, flag: string): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > 65535)
    throw new Error(`${flag} must be a port, 1 to 65535, not "${text}"`);
  return value;
}

function verbosity(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text.replace(/^=/, ""));
  if (!Number.isInteger(value) || value < 0) throw new Error(`-v must be a number from 0 on, not "${text}"`);
  return value;
}

function ociRuntime(text: string | undefined): "crun" | "runc" | undefined {
  if (text === undefined || text === "crun" || text === "runc") return text;
  throw new Error(`--oci-runtime must be crun or runc, not "${text}"`);
}

function print(text: string): number {
  process.stdout.write(text);
  return 0;
}
