import type { ContainerEventType } from "@hawser/cri";
import { Metrics } from "@hawser/trace";
import { openExecGroups } from "./cgroup/open-exec-groups.ts";
import { Usage } from "./cgroup/usage.ts";
import type { ClaimedNode } from "./claim-node.ts";
import type { Context } from "./context.ts";
import { openImageStore } from "./images/index.ts";
import type { Network } from "./network/bridge.ts";
import { addRules } from "./network/rules.ts";
import { openAppArmor } from "./oci/apparmor.ts";
import { openExecHelper } from "./oci/exec-helper.ts";
import { readHierarchies } from "./oci/exec-place.ts";
import { readHost } from "./oci/host.ts";
import { makePauseRoot } from "./oci/pause-spec.ts";
import { chooseRuntime } from "./oci/probe.ts";
import type { OCIRuntimeName } from "./oci/runtime.ts";
import { containerName } from "./server/container-name.ts";
import { describeContainerStatus, describeSandboxStatus } from "./server/describe.ts";
import { type ContainerEvent, Events } from "./server/events.ts";
import { PodCgroups } from "./server/pod-cgroups.ts";
import { sandboxName } from "./server/sandbox-name.ts";
import { Pauses } from "./store/pauses.ts";
import type { ContainerRecord, SandboxRecord } from "./store/records.ts";
import { Store } from "./store/store.ts";
import { isContainerRecord, isSandboxRecord } from "./store/whole.ts";

/** All that the CRI's methods work with, but for the streaming server, which works with it too. */
export type OpenContext = Omit<Context, "streaming">;

type Dependencies = Pick<Context, "config" | "paths" | "log"> & ClaimedNode;

/** Opens what a runtime has on its node, nothing of which is read yet; `started` closes it. Throws when the OCI runtime does not work. */
export async function openContext(
  dependencies: Dependencies,
  { ociRuntime }: { ociRuntime: OCIRuntimeName | undefined },
  started: AsyncDisposableStack,
): Promise<OpenContext> {
  const { config, paths, log, reaper, cgroupMode, conmonPath, pauseProgram } = dependencies;
  const [oci, host, groups, images] = await Promise.all([
    chooseRuntime({
      reaper,
      wanted: ociRuntime,
      root: paths.ociRoot,
      mode: cgroupMode,
      cgroupDriver: config.cgroupDriver,
      timeoutMs: config.ociTimeoutSeconds * 1000,
      hidden: [paths.containers, paths.sandboxes, paths.netns],
    }),
    readHost(cgroupMode === "v2" ? "v2" : "v1"),
    openExecGroups({ mode: cgroupMode, paths }),
    openImageStore({ root: paths.root, log: log.named("images"), config: config.images }),
    makePauseRoot(paths.pauseRoot, pauseProgram),
  ]);
  started.use(oci.view);
  const helper = started.use(
    await openExecHelper({
      reaper,
      host,
      log,
      oci,
      wanted: config.exec.helper,
      mode: cgroupMode,
      hierarchies: await readHierarchies(cgroupMode),
      containersDir: paths.containers,
    }),
  );
  const appArmor = await openAppArmor({ host, reaper });
  log.info(helper.reason);
  log.at(2, appArmor.reason);
  started.use(images);
  const now = () => BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000)) * 1000n;
  const sandboxes = new Store<SandboxRecord>({
    directory: paths.sandboxes,
    kind: "sandbox",
    nameOf: ({ metadata }) => sandboxName(metadata),
    isWhole: isSandboxRecord,
    log,
  });
  const containers = new Store<ContainerRecord>({
    directory: paths.containers,
    kind: "container",
    nameOf: containerName,
    isWhole: isContainerRecord,
    log,
  });
  const events = new Events((id, type) => describeEvent({ sandboxes, containers, now }, id, type));
  return {
    config,
    paths,
    log,
    metrics: new Metrics("hawser_runtime"),
    reaper,
    oci,
    helper,
    conmonPath,
    host,
    appArmor,
    cgroupMode,
    network: openNetwork(dependencies),
    groups,
    usage: new Usage({ mode: cgroupMode, now }),
    images,
    sandboxes,
    containers,
    events,
    pauses: started.use(new Pauses({ sandboxes, reaper, events, log })),
    podCgroups: new PodCgroups(sandboxes),
    now,
  };
}

function openNetwork({ config, paths, reaper, bridge }: Dependencies): Network {
  const { podCIDR, cniBinDir } = config;
  const commands = { reaper, timeoutMs: config.cniTimeoutSeconds * 1000 };
  let ready: Promise<void> | undefined;
  return {
    cni: { ...commands, binDir: cniBinDir },
    name: bridge,
    podCIDR,
    ipamDir: paths.ipam,
    netnsDir: paths.netns,
    ready() {
      ready ??= addRules(commands, { hash: paths.hash, bridge, podCIDR });
      ready.catch(() => {
        ready = undefined; // the next pod tries again
      });
      return ready;
    },
  };
}

function describeEvent(
  { sandboxes, containers, now }: Pick<Context, "sandboxes" | "containers" | "now">,
  id: string,
  type: ContainerEventType,
): ContainerEvent | undefined {
  const sandboxId = containers.find(id)?.sandboxId ?? id;
  const sandbox = sandboxes.find(sandboxId);
  if (!sandbox) return undefined;
  return {
    containerId: id,
    containerEventType: type,
    createdAt: now(),
    podSandboxStatus: describeSandboxStatus(sandbox),
    containersStatuses: containers
      .list()
      .filter((record) => record.sandboxId === sandboxId)
      .map(describeContainerStatus),
  };
}
