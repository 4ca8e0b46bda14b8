import { access } from "node:fs/promises";
import path from "node:path";
import type { MessageInitShape, StatusRequest, StatusResponseSchema } from "@hawser/cri";
import type { Context } from "../context.ts";
import { hasUserNamespaces } from "../network/userns.ts";

/** The CNI plugins that pods need. */
const plugins = ["bridge", "host-local", "loopback", "portmap"];

/**
 * CRI Status. RuntimeReady follows from our being here; NetworkReady from the CNI plugins. Verbose: which OCI runtime is used and
 * why, what this process can grant, and the counts of all operations.
 */
export async function status(
  context: Pick<
    Context,
    "oci" | "host" | "appArmor" | "network" | "cgroupMode" | "paths" | "metrics" | "conmonPath" | "config"
  >,
  { verbose }: StatusRequest,
): Promise<MessageInitShape<typeof StatusResponseSchema>> {
  const { oci, host, network } = context;
  const userNamespaces = await hasUserNamespaces();
  const missing = await missingPlugins(network.cni.binDir);
  const answer: MessageInitShape<typeof StatusResponseSchema> = {
    status: {
      conditions: [
        { type: "RuntimeReady", status: true },
        missing.length === 0
          ? { type: "NetworkReady", status: true }
          : {
              type: "NetworkReady",
              status: false,
              reason: "NetworkPluginNotReady",
              message: `CNI plugins not found in ${network.cni.binDir}: ${missing.join(", ")}`,
            },
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
    network: { bridge: network.name, podCIDR: network.podCIDR, cniBinDir: network.cni.binDir, hostPorts: "portmap" },
    streaming: context.config.streaming,
    root: context.paths.root,
    stateDir: context.paths.stateDir,
  };
  return { ...answer, info: { config: JSON.stringify(info), metrics: context.metrics.expose() } };
}

async function missingPlugins(directory: string): Promise<string[]> {
  const found = await Promise.all(
    plugins.map((name) =>
      access(path.join(directory, name)).then(
        () => true,
        () => false,
      ),
    ),
  );
  return plugins.filter((_, index) => !found[index]);
}
