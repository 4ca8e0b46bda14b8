import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import type { CallContext, PodSandboxConfig, RunPodSandboxRequest } from "@hawser/cri";
import {
  Code,
  ContainerEventType,
  CRIError,
  type MessageInitShape,
  NamespaceMode,
  Protocol,
  type RunPodSandboxResponseSchema,
} from "@hawser/cri";
import { oursAbove } from "../cgroup/above.ts";
import { cgroupParentPath, defaultCgroupRoot, isSlice, ociCgroupsPath, podSlice } from "../cgroup/parent.ts";
import { controllerPath } from "../cgroup/paths.ts";
import type { Context } from "../context.ts";
import { exists } from "../exists.ts";
import { identify, type ProcessId } from "../native/process-id.ts";
import { capabilitiesOf } from "../network/capabilities.ts";
import { type Connection, connect, type Network, openNetns } from "../network/connect.ts";
import { refuseSELinux } from "../oci/host.ts";
import { pauseSpec } from "../oci/pause-spec.ts";
import { call, runtimeFor } from "../oci/runtime.ts";
import type { SandboxRecord } from "../store/records.ts";
import { checkSandboxConfig } from "./check-input.ts";
import { discardSandbox, discardSandboxWhole, writeDraft } from "./discard.ts";
import { withDiskRoom } from "./disk-room.ts";
import { mountShm, writeSandboxFiles } from "./sandbox-files.ts";
import { newId, sandboxMetadata, sandboxName } from "./sandbox-name.ts";
import { checkPassable, sandboxUsers } from "./sandbox-users.ts";

type Dependencies = Pick<
  Context,
  | "config"
  | "paths"
  | "reaper"
  | "oci"
  | "host"
  | "network"
  | "sandboxes"
  | "events"
  | "now"
  | "log"
  | "cgroupMode"
  | "pauses"
  | "podCgroups"
  | "leftovers"
>;

/** Longest hostname made of a pod's name; the kernel takes one byte more. */
const maxHostnameBytes = 63;

/**
 * CRI RunPodSandbox: network and pause process are made side by side. On disk, and ready, when it returns;
 * when it fails, or the caller goes away, nothing is left.
 */
export async function runPodSandbox(
  dependencies: Dependencies,
  request: RunPodSandboxRequest,
  { signal }: CallContext,
): Promise<MessageInitShape<typeof RunPodSandboxResponseSchema>> {
  const { config, runtimeHandler } = request;
  const { sandboxes, oci } = dependencies;
  if (!config) throw new CRIError(Code.InvalidArgument, "sandbox config is missing");
  checkSandboxConfig(config);
  const runtime = runtimeFor(oci, runtimeHandler);
  if (!runtime) throw new CRIError(Code.InvalidArgument, `no runtime for "${runtimeHandler}" is configured`);
  const id = newId();
  const metadata = sandboxMetadata(config);
  const name = sandboxName(metadata);
  sandboxes.reserve(name, id);
  try {
    const record = await make({ ...dependencies, oci: runtime }, { id, config, runtimeHandler, signal });
    return { podSandboxId: record.id };
  } catch (error) {
    sandboxes.release(name, id);
    throw error;
  }
}

interface Order {
  id: string;
  config: PodSandboxConfig;
  runtimeHandler: string;
  signal: AbortSignal;
}

async function make(dependencies: Dependencies, { id, config, runtimeHandler, signal }: Order): Promise<SandboxRecord> {
  const { sandboxes, network, host, paths, podCgroups } = dependencies;
  const modes = config.linux?.securityContext?.namespaceOptions;
  refuse(config, host);
  const ownNetwork = modes?.network !== NamespaceMode.NODE;
  const connection = ownNetwork ? await connectionOf(network, id, config) : undefined;
  const users = sandboxUsers(config);
  if (users) await checkPassable(paths.root);
  const ownIPC = modes?.ipc !== NamespaceMode.NODE;
  const hostname = (ownNetwork && (config.hostname || hostnameOf(config.metadata?.name ?? ""))) || host.hostname;
  const cgroupParent = parentOf(dependencies, { id, asked: config.linux?.cgroupParent ?? "" });
  const there = () => exists(controllerPath(dependencies.cgroupMode, cgroupParent));
  const above = (known: Parameters<typeof oursAbove>[2]) => oursAbove(dependencies.cgroupMode, cgroupParent, known);
  // The runtime's own stays for its next pod.
  const isOwn = cgroupParent.startsWith(`${defaultCgroupRoot(paths.hash, "cgroupfs")}/`);
  const look = { there, oursAbove: isOwn || isSlice(cgroupParent) ? undefined : above, signal };
  const ownership = await podCgroups.enter({ id, cgroupParent }, look);
  using _made = { [Symbol.dispose]: () => podCgroups.made(id) };

  const directory = await sandboxes.prepare(id);
  try {
    const draft = { cgroupParent, ...ownership, connection };
    await writeDraft(directory, draft);
    const netns = connection && (await openNetns(network, id, { users, signal }));
    const join = async (joining: Connection, at: string) => {
      const joined = await connect(network, at, joining);
      const { membership } = joined;
      if (membership) await writeDraft(directory, { ...draft, connection: { ...joining, membership } });
      return joined;
    };
    const startPause = async (): Promise<ProcessId> => {
      const cgroupsPath = ociCgroupsPath(cgroupParent, id);
      const spec = pauseSpec({ host, root: paths.pauseRoot, cgroupsPath, hostname, netns, users, linux: config.linux });
      await writeFile(path.join(directory, "config.json"), JSON.stringify(spec), { mode: 0o600 });
      return await runPause(dependencies, id, directory);
    };
    // Side by side, the slowest first; all are waited for, so that what one has made is undone when another fails.
    const [connected, pause, shm, files] = await Promise.allSettled([
      connection && netns ? join(connection, netns) : undefined,
      startPause(),
      ownIPC ? mountShm(directory, users) : undefined,
      writeSandboxFiles(directory, { hostname, dns: config.dnsConfig, users }),
    ]);
    for (const failed of [shm, files]) if (failed.status === "rejected") throw failed.reason;
    if (connected.status === "rejected") throw connected.reason;
    if (pause.status === "rejected") throw pause.reason;
    signal.throwIfAborted();
    const record = await sandboxes.save({
      id,
      metadata: sandboxMetadata(config),
      labels: { ...config.labels },
      annotations: { ...config.annotations },
      runtimeHandler,
      state: "ready",
      createdAt: String(dependencies.now()),
      logDirectory: config.logDirectory,
      hostname,
      cgroupParent,
      ...ownership,
      privileged: config.linux?.securityContext?.privileged ?? false,
      namespaces: {
        network: modes?.network ?? NamespaceMode.POD,
        pid: modes?.pid ?? NamespaceMode.POD,
        ipc: modes?.ipc ?? NamespaceMode.POD,
      },
      users,
      pause: pause.value,
      network: connected.value,
    });
    dependencies.pauses.watch(record);
    for (const type of [ContainerEventType.CONTAINER_CREATED_EVENT, ContainerEventType.CONTAINER_STARTED_EVENT]) {
      dependencies.events.emit(id, type);
    }
    return record;
  } catch (error) {
    const reason = await withDiskRoom(error, directory);
    if (await discardSandbox(dependencies, { id, directory })) await sandboxes.remove(id);
    else {
      sandboxes.forget(id);
      dependencies.leftovers.add(id, () => discardSandboxWhole(dependencies, { id, directory }));
    }
    throw reason;
  }
}

/** A hostname as the kubelet makes one of a pod's name. Source: kubernetes pkg/kubelet/kubelet_pods.go */
function hostnameOf(podName: string): string {
  return podName.slice(0, maxHostnameBytes).replace(/[-.]+$/, "");
}

async function runPause(dependencies: Dependencies, id: string, directory: string): Promise<ProcessId> {
  const pidFile = path.join(directory, "pid");
  await call(dependencies, "run", ["--detach", "--bundle", directory, "--pid-file", pidFile, id]);
  const pid = Number.parseInt(await readFile(pidFile, "utf8"), 10);
  const pause = await identify(pid);
  if (!pause) throw new Error(`the pause process of sandbox "${id}" ended at once`);
  return pause;
}

/** What this runtime does not do is refused by name. */
function refuse(config: PodSandboxConfig, host: Dependencies["host"]): void {
  refuseSELinux(host, config.linux?.securityContext);
  if (config.windows) throw new CRIError(Code.Unimplemented, "Windows pods are not implemented");
}

/** The pod's cgroup: as it is asked for, or one below ours. Throws InvalidArgument for one in the other driver's style. */
function parentOf({ config, paths }: Dependencies, { id, asked }: { id: string; asked: string }): string {
  const { cgroupDriver } = config;
  if (asked) return cgroupParentPath(asked, cgroupDriver);
  const root = config.cgroupParent
    ? cgroupParentPath(config.cgroupParent, cgroupDriver)
    : defaultCgroupRoot(paths.hash, cgroupDriver);
  return isSlice(root) ? podSlice(root, id) : path.posix.join(root, `pod-${id}`);
}

/** To the network of now; throws CNIError while others have not said which it is. */
async function connectionOf({ confDir }: Network, id: string, config: PodSandboxConfig): Promise<Connection> {
  const { name, namespace, uid } = sandboxMetadata(config);
  const portMappings = config.portMappings
    .filter(({ hostPort }) => hostPort > 0)
    .map(({ protocol, containerPort, hostPort, hostIp }) => ({
      protocol: protocolName(protocol),
      containerPort,
      hostPort,
      hostIP: hostIp,
    }));
  const pod = { id, podName: name, podNamespace: namespace, podUID: uid, portMappings };
  if (!confDir) return pod;
  const { list } = await confDir.read();
  return { ...pod, membership: { list, capabilities: capabilitiesOf(list, config, portMappings) } };
}

function protocolName(protocol: Protocol): "tcp" | "udp" | "sctp" {
  switch (protocol) {
    case Protocol.TCP:
      return "tcp";
    case Protocol.UDP:
      return "udp";
    case Protocol.SCTP:
      return "sctp";
    default:
      throw new CRIError(Code.InvalidArgument, `unknown protocol ${protocol} of a port mapping`);
  }
}
