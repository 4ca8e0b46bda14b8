// A kubectl, an API server in this process, and a node that only exists on paper.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Node, type Pod, StatusError } from "@hawser/api";
import { type Apiserver, startApiserver } from "@hawser/apiserver";
import { createClient, type KubeClient, loadKubeconfig } from "@hawser/client";
import { type Background, background, type CommandResult, type Kubectl, kubectlCommand, run } from "@hawser/testing";
import { silentLogger } from "@hawser/trace";

/** Every minor version the project names; one that is not on the machine is reported as skipped. */
export const expectedMinors = [20, 27, 28, 29, 30, 31, 32, 33];

export interface Session extends AsyncDisposable {
  server: Apiserver;
  client: KubeClient;
  /** Runs this kubectl to its end; a non-zero exit is a result. */
  kubectl(
    args: string,
    options?: { input?: string; env?: NodeJS.ProcessEnv; signal?: AbortSignal },
  ): Promise<CommandResult>;
  /** Starts this kubectl, for one that goes on. */
  background(args: string): Background;
  /** As `kubectl`, and throws with what it said unless it ends with 0. Resolves with its stdout. */
  ok(args: string, options?: { input?: string; env?: NodeJS.ProcessEnv }): Promise<string>;
  /** As `kubectl`, expects it to fail, and resolves with its stderr. */
  fails(args: string, options?: { input?: string }): Promise<string>;
  /** Does what a kubelet would: the pod runs. */
  runPod(name: string, namespace?: string): Promise<void>;
  /** Does what a kubelet would: a pod that is asked to end has ended. Resolves when the signal is aborted. */
  endPods(signal: AbortSignal): Promise<void>;
  folder: string;
}

/** `args` are split at spaces; what is between single quotes stays together. */
export async function startSession(kubectl: Kubectl): Promise<Session> {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "hawser-kubectl-"));
  stack.defer(() => rm(folder, { recursive: true }));
  const server = stack.use(await startApiserver({ dataDir: join(folder, "data"), port: 0, log: silentLogger }));
  const client = stack.use(createClient(await loadKubeconfig({ path: server.kubeconfigPath })));
  await registerNode(client);
  const home = { HOME: folder, KUBECACHEDIR: join(folder, "cache"), KUBECONFIG: "" };
  const call: Session["kubectl"] = (args, options = {}) => {
    const command = kubectlCommand(kubectl, words(args), { kubeconfig: server.kubeconfigPath });
    return run(command, { ...options, env: { ...home, ...options.env }, timeoutMs: 30_000 });
  };
  const said = ({ code, stdout, stderr }: CommandResult) => `exit code ${code}\n${stdout}\n${stderr}`;
  const held = stack.move();
  return {
    server,
    client,
    folder,
    kubectl: call,
    background: (args) =>
      background(kubectlCommand(kubectl, words(args), { kubeconfig: server.kubeconfigPath }), { env: home }),
    async ok(args, options) {
      const result = await call(args, options);
      if (result.code !== 0) throw new Error(`kubectl ${args}: ${said(result)}`);
      return result.stdout;
    },
    async fails(args, options) {
      const result = await call(args, options);
      if (result.code === 0) throw new Error(`kubectl ${args} did not fail: ${said(result)}`);
      return result.stderr;
    },
    runPod: (name, namespace = "default") => runPod(client, namespace, name),
    endPods: (signal) => endPods(client, signal),
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}

function words(line: string): string[] {
  return (line.match(/(?:[^\s']|'[^']*')+/g) ?? []).map((word) => word.replaceAll("'", ""));
}

async function registerNode(client: KubeClient): Promise<void> {
  const now = `${new Date().toISOString().slice(0, 19)}Z`;
  await client.create({ resource: "nodes" }, {
    metadata: { name: "worker", labels: { "kubernetes.io/hostname": "worker" } },
    status: {
      addresses: [
        { type: "InternalIP", address: "192.168.205.11" },
        { type: "Hostname", address: "worker" },
      ],
      capacity: { cpu: "2", memory: "4Gi", pods: "110" },
      allocatable: { cpu: "2", memory: "4Gi", pods: "110" },
      conditions: [
        {
          type: "Ready",
          status: "True",
          reason: "KubeletReady",
          message: "ok",
          lastHeartbeatTime: now,
          lastTransitionTime: now,
        },
      ],
      daemonEndpoints: { kubeletEndpoint: { Port: 10250 } },
      nodeInfo: {
        kubeletVersion: "v1.31.0",
        osImage: "Debian GNU/Linux 12 (bookworm)",
        kernelVersion: "6.1.0",
        containerRuntimeVersion: "hawser://0.1.0",
        architecture: "amd64",
        operatingSystem: "linux",
        bootID: "b",
        machineID: "m",
        systemUUID: "s",
        kubeProxyVersion: "",
      },
    },
  } as unknown as Node);
}

async function runPod(client: KubeClient, namespace: string, name: string): Promise<void> {
  const ref = { resource: "pods", namespace, name };
  const { spec } = await client.get<Pod>(ref);
  const now = `${new Date().toISOString().slice(0, 19)}Z`;
  const status = {
    phase: "Running",
    podIP: "10.88.0.5",
    podIPs: [{ ip: "10.88.0.5" }],
    startTime: now,
    conditions: ["Initialized", "Ready", "ContainersReady", "PodScheduled"].map((type) => ({ type, status: "True" })),
    containerStatuses: (spec?.containers ?? []).map((container) => ({
      name: container.name,
      image: container.image,
      imageID: "sha256:0",
      ready: true,
      started: true,
      restartCount: 0,
      state: { running: { startedAt: now } },
    })),
  };
  await client.patch({ ...ref, subresource: "status" }, { status }, { type: "merge" });
}

async function endPods(client: KubeClient, signal: AbortSignal): Promise<void> {
  for await (const event of client.watch<Pod>({ resource: "pods" }, { signal })) {
    if (event.type !== "ADDED" && event.type !== "MODIFIED") continue;
    const { metadata } = event.object;
    if (!metadata?.deletionTimestamp) continue;
    const ref = { resource: "pods", namespace: metadata.namespace ?? "", name: metadata.name ?? "" };
    await client.delete(ref, { gracePeriodSeconds: 0 }).catch((error: unknown) => {
      if (!(error instanceof StatusError) || error.code !== 404) throw error; // forced, while we were on our way
    });
  }
}
