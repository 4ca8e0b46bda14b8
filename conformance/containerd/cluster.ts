// A whole cluster in one process: our API server and our kubelet, over the genuine containerd.
import path from "node:path";
import { startApiserver } from "@hawser/apiserver";
import { createClient, type KubeClient, loadKubeconfig } from "@hawser/client";
import { type Kubelet, startKubelet } from "@hawser/kubelet";
import { issueCertificate } from "@hawser/pki";
import { createLogger, silentLogger } from "@hawser/trace";
import { type Containerd, startContainerd } from "./containerd.ts";

export const nodeName = "worker";

export interface ContainerdCluster extends AsyncDisposable {
  client: KubeClient;
  containerd: Containerd;
  kubeconfig: string;
  kubelet: Kubelet;
  /** Stops the kubelet and starts another with the same folders; containers go on meanwhile. */
  restartKubelet(): Promise<void>;
}

export interface ClusterOptions {
  ociRuntime?: "runc" | "crun";
  containerLogMaxSize?: number;
  /** Of the kubelet, milliseconds. */
  runtimeRequestTimeout?: number;
  nodeStatusUpdateFrequency?: number;
}

/** Resolves when the node is Ready. */
export async function startContainerdCluster({
  ociRuntime,
  ...settings
}: ClusterOptions = {}): Promise<ContainerdCluster> {
  await using stack = new AsyncDisposableStack();
  const containerd = stack.use(await startContainerd(ociRuntime ? { ociRuntime } : {}));
  const dataDir = path.join(containerd.folder, "apiserver");
  const log = process.env.HAWSER_LOG ? createLogger({ verbosity: 4 }) : silentLogger;
  const api = stack.use(await startApiserver({ dataDir, port: 0, allowLoopbackKubelets: true, log }));
  const identity = { ca: api.ca, commonName: `system:node:${nodeName}`, organizations: ["system:nodes"] };
  const own = await issueCertificate({ ...identity, usages: ["client"] });
  const serving = await issueCertificate({
    ...identity,
    dnsNames: [nodeName],
    ipAddresses: ["127.0.0.1"],
    usages: ["server"],
  });
  const tls = { ca: api.ca.certPEM, cert: own.certPEM, key: own.keyPEM };
  const start = () =>
    startKubelet({
      nodeName,
      nodeIP: "127.0.0.1",
      address: "127.0.0.1",
      port: 0,
      rootDir: path.join(containerd.folder, "kubelet"),
      cgroupRoot: containerd.cgroupParent,
      runtimeEndpoint: containerd.endpoint,
      client: { server: new URL(api.url), namespace: "default", tls, headers: async () => ({}) },
      clientCA: api.ca.certPEM,
      serving,
      log,
      ...settings,
    });
  let kubelet = await start();
  stack.defer(() => kubelet[Symbol.asyncDispose]());
  await kubelet.ready;
  const client = stack.use(createClient(await loadKubeconfig({ path: api.kubeconfigPath })));
  const disposables = stack.move();
  return {
    client,
    containerd,
    kubeconfig: api.kubeconfigPath,
    get kubelet() {
      return kubelet;
    },
    async restartKubelet() {
      await kubelet[Symbol.asyncDispose]();
      kubelet = await start();
      await kubelet.ready;
    },
    [Symbol.asyncDispose]: () => disposables.disposeAsync(),
  };
}
