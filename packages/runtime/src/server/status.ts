import type { MessageInitShape, StatusRequest, StatusResponseSchema } from "@hawser/cri";
import type { Context } from "../context.ts";
import { missingPlugins } from "../network/cni.ts";
import { ifName, type Network } from "../network/connect.ts";
import { askStatus } from "../network/list.ts";
import { loopback, ownPlugins } from "../network/own.ts";
import { hasUserNamespaces } from "../network/userns.ts";

/**
 * CRI Status. RuntimeReady follows from our being here; NetworkReady from the CNI plugins, and from a network that others may have
 * to configure first. Verbose: which OCI runtime is used and
 * why, what this process can grant, and the counts of all operations.
 */
export async function status(
  context: Pick<
    Context,
    "oci" | "host" | "appArmor" | "network" | "cgroupMode" | "paths" | "metrics" | "conmonPath" | "config" | "helper"
  >,
  { verbose }: StatusRequest,
): Promise<MessageInitShape<typeof StatusResponseSchema>> {
  const { oci, host, network } = context;
  const userNamespaces = await hasUserNamespaces();
  const obstacle = await obstacleOf(network);
  const answer: MessageInitShape<typeof StatusResponseSchema> = {
    status: {
      conditions: [
        { type: "RuntimeReady", status: true },
        obstacle === undefined
          ? { type: "NetworkReady", status: true }
          : { type: "NetworkReady", status: false, reason: "NetworkPluginNotReady", message: obstacle },
      ],
    },
    runtimeHandlers: ["", ...[oci, ...oci.others].map(({ name }) => name)].map((name) => ({
      name,
      features: { recursiveReadOnlyMounts: host.recursiveReadOnly, userNamespaces },
    })),
    features: { supplementalGroupsPolicy: true },
  };
  if (!verbose) return answer;
  const withheld = ["CAP_SYS_RESOURCE", "CAP_SYS_ADMIN", "CAP_MKNOD"].filter((name) => !host.capabilities.has(name));
  const info = {
    ociRuntime: { name: oci.name, path: oci.path, version: oci.version, root: oci.root, reason: oci.reason },
    conmon: context.conmonPath,
    execs: context.helper.reason,
    cgroup: { mode: context.cgroupMode, driver: context.config.cgroupDriver },
    limits: {
      lowestOOMScoreAdj: host.capabilities.has("CAP_SYS_RESOURCE") ? -1000 : host.oomScoreAdj,
      withheldCapabilities: withheld,
      hardLimits: Object.fromEntries(host.rlimits),
      swap: await host.swapAccounting(),
      hugePages: host.hugetlb,
    },
    appArmor: context.appArmor.reason,
    seccomp: { runtimeDefault: "built in", unset: "unconfined" },
    idMappings: userNamespaces
      ? "of pods that ask for users of their own"
      : "none: the kernel allows no user namespaces",
    selinux: host.selinux,
    network: network.confDir
      ? { cniConfDir: network.confDir.path, cniBinDir: network.cni.binDir }
      : { bridge: network.name, podCIDR: network.podCIDR, cniBinDir: network.cni.binDir, hostPorts: "portmap" },
    streaming: context.config.streaming,
    root: context.paths.root,
    stateDir: context.paths.stateDir,
  };
  const cni = await describeConfigured(network);
  return { ...answer, info: { config: JSON.stringify(info), ...cni, metrics: context.metrics.expose() } };
}

/** Why pods can have no network now, in containerd's words; undefined when they can. */
async function obstacleOf(network: Network): Promise<string | undefined> {
  const { cni, confDir } = network;
  try {
    const list = (await confDir?.read())?.list;
    // Who gives out addresses is the others' matter: it need not be a program of this directory.
    const plugins = list ? list.plugins.map(({ type }) => ({ type })) : ownPlugins(network);
    const missing = await missingPlugins(cni.binDir, [...plugins, loopback]);
    if (missing.length > 0) return `CNI plugins not found in ${cni.binDir}: ${missing.join(", ")}`;
    if (list) await askStatus(cni, list);
    return undefined;
  } catch (error) {
    return `Network plugin returns error: ${error instanceof Error ? error.message : error}`;
  }
}

/** The network that others have configured, by containerd's names. Source: containerd internal/cri/server/status.go */
async function describeConfigured({ cni, confDir }: Network): Promise<Record<string, string>> {
  if (!confDir) return {};
  const found = await confDir.read().catch(() => undefined); // the failure is told below
  const networks = found && [
    {
      Config: {
        Name: found.list.name,
        CNIVersion: found.list.cniVersion,
        Plugins: found.list.plugins.map((Network) => ({ Network })),
        Source: JSON.stringify(found.list),
      },
      IFName: ifName,
      File: found.file,
    },
  ];
  const cniconfig = {
    PluginDirs: cni.binDir.split(":"),
    PluginConfDir: confDir.path,
    PluginMaxConfNum: 1,
    Prefix: "eth",
    Networks: networks ?? [],
  };
  return { cniconfig: JSON.stringify(cniconfig), lastCNILoadStatus: confDir.failure || "OK" };
}
