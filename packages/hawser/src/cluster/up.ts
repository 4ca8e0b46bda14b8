import { mkdir, readdir } from "node:fs/promises";
import { freePodCIDR, primaryAddress } from "./address.ts";
import { apiserverArguments, kubeletArguments, runtimeArguments, runtimeEndpoint } from "./arguments.ts";
import { issueKubeletCredentials } from "./credentials.ts";
import { type Daemon, type DaemonRecord, type Launcher, lastLines, runningDaemon, startDaemon } from "./daemon.ts";
import { takeDown } from "./down.ts";
import { defaultKubeconfig, mergeKubeconfig } from "./kubeconfig.ts";
import { lockCluster } from "./lock.ts";
import { readyInLog } from "./log-watch.ts";
import { type ClusterPaths, clusterPaths, defaultDataDir, type Hop, hops, logFile } from "./paths.ts";
import { checkPlace } from "./place.ts";
import { checkMachine, checkPort, checkSettings } from "./preflight.ts";
import { type APIProbe, clientProbe } from "./probe.ts";
import { type ProcessIdentity, terminate } from "./proc.ts";
import { type ClusterSettings, defaultNodeName, readSettings, writeSettings } from "./settings.ts";

/** How long a hop may take until it serves, milliseconds; generous, for a machine that is busy with something else. */
const readyTimeout = 60_000;

/** Each setting may be left out, or undefined. */
type Wishes = { [Name in keyof Omit<ClusterSettings, "merged">]?: ClusterSettings[Name] | undefined };

export interface UpOptions extends Wishes {
  /** Default /var/lib/hawser. */
  dataDir?: string | undefined;
  /** Also put the cluster into the user's own kubeconfig. */
  merge?: boolean | undefined;
  /** Told what is going on, a line at a time, for people. */
  onProgress?: ((line: string) => void) | undefined;
  signal?: AbortSignal | undefined;
  /** For clusters whose hops live in network namespaces. */
  launcher?: Launcher | undefined;
  probe?: APIProbe | undefined;
}

export interface UpResult {
  paths: ClusterPaths;
  settings: ClusterSettings;
  /** The hops this call has started; empty when the whole cluster ran already. */
  started: Hop[];
  pids: Partial<Record<Hop, number>>;
}

/**
 * Starts a cluster, or what is missing of it. Resolves when its node is Ready.
 *
 * A cluster that runs is left as it is; a hop of it that died is started again. When this fails or is aborted, what
 * it has started is gone again, a new data directory with it.
 */
export async function up(options: UpOptions = {}): Promise<UpResult> {
  const { onProgress = () => {}, signal, launcher } = options;
  const paths = clusterPaths(options.dataDir ?? defaultDataDir);
  await checkMachine({ ociRuntime: options.ociRuntime, ownRuntime: options.runtimeEndpoint === undefined });
  await using _lock = await lockCluster(paths.dataDir, {
    signal,
    waiting: (pid) => onProgress(`waiting for another hawser (process ${pid}) that works on ${paths.dataDir}`),
  });

  const previous = await readSettings(paths);
  const isNew = previous === undefined;
  const running = await runningDaemons(paths);
  const settings = await settle(paths, options, previous, Object.keys(running).length > 0);
  checkSettings(paths, settings.nodeName);
  await checkPlace(paths.dataDir);
  const wanted = hops.filter((hop) => hop !== "runtime" || settings.runtimeEndpoint === undefined);
  const missing = wanted.filter((hop) => !running[hop]);
  // What `down` removes must have been ours from the beginning.
  if (isNew && !(await isEmpty(paths.dataDir))) {
    throw new Error(`${paths.dataDir} is not empty and holds no cluster; choose another --data-dir`);
  }
  if (!launcher) await checkPorts(missing, settings);
  if (settings.runtimeEndpoint !== undefined && !launcher) await checkEndpoint(settings.runtimeEndpoint);

  const pids: UpResult["pids"] = {};
  for (const [hop, { pid }] of Object.entries(running)) pids[hop as Hop] = pid;
  const started: Daemon[] = [];
  try {
    await writeSettings(paths, settings);
    await mkdir(paths.run, { recursive: true, mode: 0o755 });
    await startMissing({ paths, settings, launcher, onProgress, running, started }, missing, options);
    for (const { hop, identity } of started) pids[hop] = identity.pid;
    if (options.merge) {
      const merged = await mergeKubeconfig(paths.kubeconfig, defaultKubeconfig());
      // A second --merge finds our own context as the current one: the first answer is the one to give back.
      settings.merged = settings.merged?.path === merged.path ? { ...merged, ...settings.merged } : merged;
      await writeSettings(paths, settings);
    }
  } catch (err) {
    onProgress("that failed; removing what was started");
    if (isNew) await takeDown({ paths, settings, launcher }, { keepData: false });
    else
      await terminate(
        started.map(({ identity }) => identity),
        5_000,
      );
    throw err;
  }
  return { paths, settings, started: missing, pids };
}

interface Start {
  paths: ClusterPaths;
  settings: ClusterSettings;
  launcher: Launcher | undefined;
  onProgress: (line: string) => void;
  running: Partial<Record<Hop, DaemonRecord>>;
  /** Grows as daemons start, so that a failure knows them. */
  started: Daemon[];
}

type Check = (signal: AbortSignal) => Promise<void>;

/** API server and runtime side by side, and the kubelet as soon as both serve. What runs already has to serve as well. */
async function startMissing(start: Start, missing: Hop[], { signal, probe = clientProbe }: UpOptions): Promise<void> {
  const { paths, settings } = start;
  const since = missing.includes("kubelet") ? Date.now() : 0;
  const both = new AbortController(); // one failing ends the wait for the other
  const stop = AbortSignal.any([both.signal, ...(signal ? [signal] : [])]);
  const serve = async (hop: Hop, args: () => Promise<string[]>, check: Check) => {
    const running = start.running[hop];
    if (missing.includes(hop)) await startUntil(start, hop, await args(), check, stop);
    else if (running) await untilServing(start, hop, { identity: running, ...running }, check, stop);
  };
  try {
    await Promise.all([
      serve(
        "apiserver",
        async () => apiserverArguments(paths, settings),
        (wait) => probe.apiReady(paths.kubeconfig, wait),
      ),
      serve(
        "runtime",
        async () => runtimeArguments(paths, settings),
        async () => {
          const { connectCRI } = await import("@hawser/cri");
          using _connection = await connectCRI({ endpoint: runtimeEndpoint(paths, settings) });
        },
      ),
    ]);
    await serve(
      "kubelet",
      async () => kubeletArguments(paths, settings, await issueKubeletCredentials(paths, settings)),
      (wait) => probe.nodeReady(paths.kubeconfig, settings.nodeName, since, wait),
    );
  } finally {
    both.abort(new Error("another hop failed"));
  }
}

/** Starts one daemon and waits until its log and then `check` say that it serves. */
async function startUntil(start: Start, hop: Hop, args: string[], check: Check, stop: AbortSignal): Promise<void> {
  const { paths, launcher, onProgress, started } = start;
  const begin = performance.now();
  const daemon = await startDaemon({ paths, ...(launcher && { launcher }) }, hop, args);
  started.push(daemon);
  await untilServing(start, hop, daemon, check, stop);
  onProgress(`${hop} is ready (process ${daemon.identity.pid}, ${Math.round(performance.now() - begin)} ms)`);
}

/** Waits until a daemon serves. One that was running before may still be on its way, when its `up` was killed. */
async function untilServing(
  { paths }: Start,
  hop: Hop,
  { identity, logOffset, died }: { identity: ProcessIdentity; logOffset: number; died?: Promise<never> },
  check: Check,
  stop: AbortSignal,
): Promise<void> {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(new Error("not ready in time")), readyTimeout);
  const wait = AbortSignal.any([late.signal, stop]);
  const stopped = Promise.withResolvers<never>();
  const onAbort = () => stopped.reject(wait.reason);
  wait.addEventListener("abort", onAbort);
  const serves = readyInLog(paths, hop, logOffset, wait).then(() => check(wait));
  try {
    wait.throwIfAborted();
    await Promise.race([serves, stopped.promise, ...(died ? [died] : [])]);
  } catch (err) {
    if (err !== late.signal.reason) throw err;
    const lines = await lastLines(paths, hop, logOffset);
    throw new Error(
      `the ${hop} (process ${identity.pid}) was not ready after ${readyTimeout / 1000} s; the end of ${logFile(paths, hop)}:\n${lines}`,
      { cause: err },
    );
  } finally {
    clearTimeout(timer);
    wait.removeEventListener("abort", onAbort);
    late.abort(); // ends what is left of the wait
    serves.catch(() => {}); // nobody waits for it any more
  }
}

async function runningDaemons(paths: ClusterPaths): Promise<Partial<Record<Hop, DaemonRecord>>> {
  const found: Partial<Record<Hop, DaemonRecord>> = {};
  for (const hop of hops) {
    const identity = await runningDaemon(paths, hop);
    if (identity) found[hop] = identity;
  }
  return found;
}

/** Each setting and the flag people know it by. */
const settingFlags = [
  ["apiPort", "--api-port"],
  ["kubeletPort", "--kubelet-port"],
  ["nodeName", "--node-name"],
  ["nodeAddress", "--node-ip"],
  ["apiAddress", "the API address"],
  ["podCIDR", "--pod-cidr"],
  ["ociRuntime", "--oci-runtime"],
  ["runtimeEndpoint", "--runtime-endpoint"],
  ["runtimeConfig", "--runtime-config"],
  ["verbosity", "-v"],
] as const;

/** What was asked for, over what the cluster was last started with, over the defaults. */
async function settle(
  paths: ClusterPaths,
  options: UpOptions,
  previous: ClusterSettings | undefined,
  runs: boolean,
): Promise<ClusterSettings> {
  const asked: Partial<ClusterSettings> = {};
  for (const [name, flag] of settingFlags) {
    const value = options[name];
    if (value === undefined) continue;
    if (runs && previous && previous[name] !== value) {
      const now = previous[name] === undefined ? `without ${flag}` : `with ${flag} ${previous[name]}`;
      throw new Error(
        `the cluster in ${paths.dataDir} runs ${now}; to change that to ${value}, first: hawser down --keep-data --data-dir ${paths.dataDir}`,
      );
    }
    Object.assign(asked, { [name]: value });
  }
  const nodeAddress = asked.nodeAddress ?? (runs ? previous?.nodeAddress : undefined) ?? (await primaryAddress());
  return {
    apiPort: 6443,
    kubeletPort: 10250,
    nodeName: defaultNodeName(),
    apiAddress: "127.0.0.1",
    podCIDR: previous?.podCIDR ?? freePodCIDR(paths.dataDir, { defaultDir: defaultDataDir }),
    verbosity: 0,
    ...previous,
    ...asked,
    nodeAddress,
  };
}

async function checkEndpoint(endpoint: string): Promise<void> {
  const { connectCRI } = await import("@hawser/cri");
  try {
    using _connection = await connectCRI({ endpoint, timeoutMs: 2_000 });
  } catch (cause) {
    throw new Error(`no CRI runtime answers at ${endpoint}: ${cause instanceof Error ? cause.message : cause}`, {
      cause,
    });
  }
}

async function checkPorts(missing: Hop[], { apiPort, kubeletPort }: ClusterSettings): Promise<void> {
  if (missing.includes("apiserver")) await checkPort(apiPort, "API server", "--api-port");
  if (missing.includes("kubelet")) await checkPort(kubeletPort, "kubelet", "--kubelet-port");
}

async function isEmpty(folder: string): Promise<boolean> {
  try {
    return (await readdir(folder)).length === 0;
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === "ENOENT") return true;
    throw err;
  }
}
