import { setTimeout as delay } from "node:timers/promises";
import { formatQuantity, kubernetesVersion, type Node, type NodeStatus, StatusError } from "@hawser/api";
import { rpcErrorText } from "@hawser/cri";
import type { KubeletContext } from "../context.ts";
import { nodeConditions, type RuntimeReadiness } from "./conditions.ts";
import { type NodeFacts, nodePressure } from "./facts.ts";

/** Milliseconds between tries while the node is not Ready yet. */
const eagerPause = 200;
/** How long the runtime may take to say how it is, milliseconds; then it counts as down. Source: kubernetes pkg/kubelet/kubelet.go maxWaitForContainerRuntime */
const runtimePatience = 30_000;
/** A node status that has not changed is sent again after this, milliseconds. Source: nodeStatusReportFrequency */
const reportAnyway = 5 * 60_000;

export interface NodeOptions {
  facts: NodeFacts;
  /** Where the kubelet's server listens. */
  port: number;
  runtimeVersion: string;
  signal: AbortSignal;
  /** Called once, when the API server has the node as Ready. */
  onReady: () => void;
}

/**
 * Registers the node and keeps its status fresh until `signal` is aborted. Failures are logged and tried again.
 *
 * Source: kubernetes pkg/kubelet/kubelet_node_status.go
 */
export async function keepNode(context: KubeletContext, options: NodeOptions): Promise<void> {
  const { settings, log, now } = context;
  const { signal } = options;
  let sent: NodeStatus | undefined;
  let sentAt = 0;
  let ready = false;
  let complained = "";
  while (!signal.aborted) {
    try {
      const status = await nodeStatus(context, options, sent);
      const due = now() - sentAt >= reportAnyway || comparable(status) !== comparable(sent);
      if (due) {
        await (sent ? patchStatus(context, status, signal) : register(context, { status, signal }));
        sent = status;
        sentAt = now();
      }
      complained = "";
      const isReady =
        status.conditions?.some(({ type, status: value }) => type === "Ready" && value === "True") ?? false;
      if (isReady && !ready) options.onReady();
      ready = isReady;
    } catch (error) {
      if (signal.aborted) return;
      const text = error instanceof Error ? error.message : String(error);
      if (text !== complained) log.warn("node status not sent", { node: settings.nodeName, error });
      complained = text;
      if (error instanceof StatusError && error.code === 404) sent = undefined; // someone has deleted the node
    }
    const pause = ready && !complained ? settings.nodeStatusUpdateFrequency : eagerPause;
    await delay(pause, undefined, { signal }).catch(() => undefined);
  }
}

async function register(
  context: KubeletContext,
  { status, signal }: { status: NodeStatus; signal: AbortSignal },
): Promise<void> {
  const { client, settings, log } = context;
  const name = settings.nodeName;
  const architecture = status.nodeInfo?.architecture ?? "";
  const labels = {
    "kubernetes.io/hostname": name,
    "kubernetes.io/os": "linux",
    "kubernetes.io/arch": architecture,
    "beta.kubernetes.io/os": "linux",
    "beta.kubernetes.io/arch": architecture,
    ...settings.nodeLabels,
  };
  const ref = { resource: "nodes" };
  if (settings.registerNode) {
    try {
      await client.create<Node>(
        ref,
        { apiVersion: "v1", kind: "Node", metadata: { name, labels }, spec: {}, status },
        { signal },
      );
      log.info("node registered", { node: name });
    } catch (error) {
      if (!(error instanceof StatusError) || error.reason !== "AlreadyExists") throw error;
      await client.patch({ ...ref, name }, { metadata: { labels } }, { type: "strategic", signal });
    }
  }
  await patchStatus(context, status, signal);
}

async function patchStatus(
  { client, settings }: KubeletContext,
  status: NodeStatus,
  signal: AbortSignal,
): Promise<void> {
  const ref = { resource: "nodes", name: settings.nodeName, subresource: "status" };
  const addresses = [{ $patch: "replace" }, ...(status.addresses ?? [])];
  await client.patch(ref, { status: { ...status, addresses } }, { type: "strategic", signal });
}

async function nodeStatus(
  context: KubeletContext,
  options: NodeOptions,
  before: NodeStatus | undefined,
): Promise<NodeStatus> {
  const { settings, folders, images, nodeIP, now, facts: capacity } = context;
  const { facts, port, runtimeVersion } = options;
  const asking = { signal: options.signal, timeoutMs: Math.min(runtimePatience, settings.runtimeRequestTimeout) };
  const [pressure, runtime, imageList] = await Promise.all([
    nodePressure(folders.rootDir),
    runtimeReadiness(context, asking),
    images.listImages({}, asking).catch(() => ({ images: [] })),
  ]);
  const amounts = {
    cpu: String(facts.cpus),
    memory: `${Math.floor(capacity.allocatable.memory / 1024)}Ki`,
    "ephemeral-storage": formatQuantity(Math.floor(pressure.disk.size / 1024) * 1024, "binary"),
    pods: String(settings.maxPods),
  };
  const status: NodeStatus & { declaredFeatures: string[] } = {
    capacity: amounts,
    allocatable: amounts, // nothing is kept back: no system reserve, no eviction
    conditions: nodeConditions({ pressure, runtime, now: now() }, before?.conditions),
    addresses: [
      { type: "InternalIP", address: nodeIP },
      { type: "Hostname", address: settings.nodeName },
    ],
    daemonEndpoints: { kubeletEndpoint: { Port: port } },
    nodeInfo: {
      machineID: facts.machineID,
      systemUUID: facts.systemUUID,
      bootID: facts.bootID,
      kernelVersion: facts.kernelVersion,
      osImage: facts.osImage,
      containerRuntimeVersion: `${context.runtimeName}://${runtimeVersion}`,
      kubeletVersion: kubernetesVersion.gitVersion,
      kubeProxyVersion: "",
      operatingSystem: "linux",
      architecture: facts.architecture,
    },
    images: imageList.images
      .map(({ repoTags, repoDigests, size }) => ({
        names: [...repoDigests, ...repoTags].slice(0, 5),
        sizeBytes: Number(size),
      }))
      .filter(({ names }) => names.length > 0)
      .sort((a, b) => b.sizeBytes - a.sizeBytes)
      .slice(0, 50),
    // The API server may hand WebSockets on as they are: this kubelet speaks them.
    declaredFeatures: ["ExtendWebSocketsToKubelet"],
  };
  return status;
}

async function runtimeReadiness(
  { runtime }: KubeletContext,
  asking: { signal: AbortSignal; timeoutMs: number },
): Promise<RuntimeReadiness> {
  try {
    const { status } = await runtime.status({}, asking);
    const bad = ["RuntimeReady", "NetworkReady"].flatMap((name) => {
      const found = status?.conditions.find(({ type }) => type === name);
      if (found?.status) return [];
      const what = name === "RuntimeReady" ? "container runtime" : "container runtime network";
      return [`${what} not ready: ${name}=false reason:${found?.reason ?? ""} message:${found?.message ?? ""}`];
    });
    return { ready: bad.length === 0, message: bad.join(", ") };
  } catch (error) {
    return { ready: false, message: `container runtime is down: ${rpcErrorText(error)}` };
  }
}

/** A status without what changes by itself. */
function comparable(status: NodeStatus | undefined): string {
  if (!status) return "";
  const conditions = status.conditions?.map(({ lastHeartbeatTime: _, ...condition }) => condition);
  return JSON.stringify({ ...status, conditions });
}
