import { execFile } from "node:child_process";
import { mkdir } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { type ClusterConfig, createClient } from "@hawser/client";
import { type CallOptions, CgroupDriver, connectCRI, type RuntimeClient } from "@hawser/cri";
import { readPlainFile } from "@hawser/files";
import { createLogger, type Logger, Metrics } from "@hawser/trace";
import type { KubeletContext } from "./context.ts";
import { createEventRecorder } from "./events.ts";
import { keepLogsSmall } from "./logs/rotate.ts";
import { findNodeIP, nodeFacts } from "./node/facts.ts";
import { keepLease } from "./node/lease.ts";
import { keepNode } from "./node/register.ts";
import { removeKubepods } from "./pods/cgroup.ts";
import { parseResolvConf } from "./pods/dns.ts";
import { type PodManager, startPodManager } from "./pods/manager.ts";
import { startServer } from "./server/server.ts";
import { servingCertificate } from "./serving.ts";
import { defaultPodLogsDir, defaultSettings, type KubeletSettings } from "./settings.ts";

/** How long a runtime that is just starting is waited for, milliseconds. */
const runtimePatience = 60_000;
/** Largest resolv.conf of the node that is read, bytes. */
const maxResolvConfBytes = 1024 * 1024;

export interface KubeletOptions extends Partial<KubeletSettings> {
  /** The API server, as this node. */
  client: ClusterConfig;
  /** PEM: signs the client certificates of callers. Without it only bearer tokens let in. */
  clientCA?: string | undefined;
  /** What the kubelet's server shows. Without it, one signed by itself, kept below the root folder. */
  serving?: { certPEM: string; keyPEM: string } | undefined;
  log?: Logger | undefined;
}

export interface Kubelet extends AsyncDisposable {
  /** Where its server listens. */
  port: number;
  /** Resolves when the API server has the node as Ready. */
  ready: Promise<void>;
  pods: PodManager;
}

/**
 * Starts a kubelet: connects to the runtime, serves, registers the node, takes its pods. Resolves when it serves.
 *
 * Throws when the runtime does not answer within a minute, or the port is taken. Disposing stops the kubelet;
 * containers go on, and the next kubelet with the same root folder finds them.
 */
export async function startKubelet(options: KubeletOptions): Promise<Kubelet> {
  const { client: cluster, clientCA, serving, log = createLogger({ name: "kubelet" }), ...given } = options;
  const settings: KubeletSettings = { ...defaultSettings(), ...given };
  settings.podLogsDir ||= defaultPodLogsDir(settings.rootDir);
  settings.nodeIP ||= await findNodeIP();
  await mkdir(path.join(settings.rootDir, "pods"), { recursive: true, mode: 0o750 });

  await using stack = new AsyncDisposableStack();
  const stop = new AbortController();
  const tasks: Promise<unknown>[] = [];
  const { runtimeEndpoint: endpoint, runtimeRequestTimeout: callTimeoutMs } = settings;
  const cri = stack.adopt(await connectCRI({ endpoint, timeoutMs: runtimePatience, callTimeoutMs }), (one) =>
    one.close(),
  );
  const client = stack.use(createClient(cluster, { userAgent: "hawser-kubelet/0.1.0" }));
  const events = stack.use(createEventRecorder({ client, nodeName: settings.nodeName, log }));
  const metrics = new Metrics("hawser_kubelet");
  const facts = await nodeFacts();
  const certificate = { ...(serving ?? (await servingCertificate(settings))), clientCA };
  const context: KubeletContext = {
    settings,
    folders: settings,
    runtime: measured(cri.runtime, metrics),
    images: cri.images,
    runtimeName: cri.runtimeName,
    client,
    events,
    log,
    metrics,
    now: Date.now,
    nodeIP: settings.nodeIP,
    dns: {
      host: parseResolvConf(await hostResolvConf(settings, log)),
      clusterDNS: settings.clusterDNS,
      clusterDomain: settings.clusterDomain,
    },
    facts: {
      hostIP: settings.nodeIP,
      nodeName: settings.nodeName,
      allocatable: { cpu: facts.cpus, memory: facts.memory, "ephemeral-storage": 0 },
    },
    cgroupDriver: await cgroupDriver(cri.runtime, settings),
    run: promisify(execFile),
  };
  log.info("runtime", {
    name: cri.runtimeName,
    version: cri.runtimeVersion,
    api: cri.apiVersion,
    cgroupDriver: context.cgroupDriver,
  });

  const pods = stack.use(await startPodManager(context));
  const server = stack.use(await startServer(context, { pods, certificate }));
  const ready = Promise.withResolvers<void>();
  ready.promise.catch(() => undefined); // a caller may never ask
  const { signal } = stop;
  const self = { kind: "Node" as const, name: settings.nodeName, uid: settings.nodeName };
  events.record(self, "Normal", "Starting", "Starting kubelet.");
  const onReady = () => {
    events.record(self, "Normal", "NodeReady", `Node ${settings.nodeName} status is now: NodeReady`);
    ready.resolve();
  };
  const node = { facts, port: server.port, runtimeVersion: cri.runtimeVersion, signal, onReady };
  tasks.push(keepNode(context, node), keepLease(context, signal), keepLogsSmall(context, pods.workers, signal));

  const disposables = stack.move();
  return {
    port: server.port,
    ready: ready.promise,
    pods,
    async [Symbol.asyncDispose]() {
      stop.abort(new Error("the kubelet stops"));
      ready.reject(stop.signal.reason);
      await Promise.allSettled(tasks);
      await disposables.disposeAsync();
      await removeKubepods(context);
    },
  };
}

/** Without it pods that use the node's DNS have none: no reason not to run the others. */
async function hostResolvConf({ resolvConf }: KubeletSettings, log: Logger): Promise<string> {
  return readPlainFile(resolvConf, maxResolvConfBytes).catch((error: unknown) => {
    log.warn("the node's resolv.conf cannot be read", { path: resolvConf, error });
    return "";
  });
}

/** Asks the runtime; one too old to say is taken at the settings' word. */
async function cgroupDriver(
  runtime: RuntimeClient,
  settings: KubeletSettings,
): Promise<KubeletSettings["cgroupDriver"]> {
  try {
    const { linux } = await runtime.runtimeConfig({});
    if (!linux) return settings.cgroupDriver;
    return linux.cgroupDriver === CgroupDriver.SYSTEMD ? "systemd" : "cgroupfs";
  } catch {
    return settings.cgroupDriver;
  }
}

/** Counts and times each CRI call; streams go through as they are. */
function measured(runtime: RuntimeClient, metrics: Metrics): RuntimeClient {
  const names = (Object.keys(runtime) as (keyof RuntimeClient)[]).filter(
    (name) => !/^(stream|getContainerEvents)/.test(name),
  );
  const wrapped = names.map((name) => {
    // Each entry keeps its own signature; the compiler cannot follow it through a list of names.
    const call = runtime[name] as (request: object, options?: CallOptions) => Promise<unknown>;
    return [name, (request: object, options?: CallOptions) => metrics.measure(name, () => call(request, options))];
  });
  return { ...runtime, ...Object.fromEntries(wrapped) };
}
