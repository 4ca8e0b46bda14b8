import { Metrics } from "@hawser/trace";
import { allAtTheirEnd } from "./all-at-their-end.ts";
import { openExecGroups } from "./cgroup/open-exec-groups.ts";
import { Usage } from "./cgroup/usage.ts";
import type { ClaimedNode } from "./claim-node.ts";
import type { Context } from "./context.ts";
import { endWorkers } from "./half-made.ts";
import { openImageStore } from "./images/index.ts";
import { openStarter } from "./native/open-starter.ts";
import { openNetwork } from "./network/open.ts";
import { openAppArmor } from "./oci/apparmor.ts";
import { openExecHelper } from "./oci/exec-helper.ts";
import { readHierarchies } from "./oci/exec-place.ts";
import { type ExecProgram, noProgram, openExecProgram, starterMark } from "./oci/exec-program.ts";
import { protocol } from "./oci/exec-request.ts";
import { readHost } from "./oci/host.ts";
import { makePauseRoot } from "./oci/pause-spec.ts";
import { chooseRuntime } from "./oci/probe.ts";
import type { OCIRuntimeName } from "./oci/runtime.ts";
import { containerName } from "./server/container-name.ts";
import { describeEvent } from "./server/describe-event.ts";
import { Events } from "./server/events.ts";
import { Leftovers } from "./server/leftovers.ts";
import { PodCgroups } from "./server/pod-cgroups.ts";
import { sandboxName } from "./server/sandbox-name.ts";
import { Pauses } from "./store/pauses.ts";
import type { ContainerRecord, SandboxRecord } from "./store/records.ts";
import { Store } from "./store/store.ts";
import { isContainerRecord, isSandboxRecord } from "./store/whole.ts";

/** All that the CRI's methods work with, but for the streaming server, which works with it too. */
export type OpenContext = Omit<Context, "streaming">;

type Dependencies = Pick<Context, "config" | "paths" | "log"> & ClaimedNode;

/**
 * Opens what a runtime has on its node, nothing of which is read yet; `started` closes it. Throws when the OCI runtime does not
 * work.
 */
export async function openContext(
  dependencies: Dependencies,
  { ociRuntime }: { ociRuntime: OCIRuntimeName | undefined },
  started: AsyncDisposableStack,
): Promise<OpenContext> {
  const { config, paths, log, reaper, cgroupMode, conmonPath, pauseProgram } = dependencies;
  // Whatever becomes of the others, what was opened is closed.
  const keep = async <T>(opening: Promise<T>, what: (opened: T) => AsyncDisposable | Disposable): Promise<T> => {
    const opened = await opening;
    started.use(what(opened));
    return opened;
  };
  const execProgram = await openPrograms(dependencies, started);
  const [oci, host, groups, images] = await allAtTheirEnd([
    keep(
      chooseRuntime({
        reaper,
        wanted: ociRuntime,
        root: paths.ociRoot,
        mode: cgroupMode,
        cgroupDriver: config.cgroupDriver,
        timeoutMs: config.ociTimeoutSeconds * 1000,
        hidden: [paths.containers, paths.sandboxes, paths.netns],
      }),
      ({ view }) => view,
    ),
    readHost(cgroupMode === "v2" ? "v2" : "v1"),
    openExecGroups({ mode: cgroupMode, paths }),
    keep(openImageStore({ root: paths.root, log: log.named("images"), config: config.images }), (store) => store),
    makePauseRoot(paths.pauseRoot, pauseProgram),
  ]);
  const helper = started.use(
    await openExecHelper({
      reaper,
      host,
      log,
      oci,
      program: execProgram,
      mode: cgroupMode,
      hierarchies: await readHierarchies(cgroupMode),
      containersDir: paths.containers,
    }),
  );
  const appArmor = await openAppArmor({ host, reaper });
  log.info(helper.reason);
  log.at(2, appArmor.reason);
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
    execProgram,
    conmonPath,
    host,
    appArmor,
    cgroupMode,
    network: openNetwork({ ...dependencies, execProgram }),
    groups,
    usage: new Usage({ mode: cgroupMode, now }),
    images,
    sandboxes,
    containers,
    events,
    pauses: started.use(new Pauses({ sandboxes, reaper, events, log })),
    leftovers: started.use(new Leftovers({ log })),
    podCgroups: new PodCgroups(sandboxes),
    now,
  };
}

/** hawser-exec, with what it starts from now on; or none, where it does not run. */
async function openPrograms(
  { config, paths, log, reaper }: Dependencies,
  started: AsyncDisposableStack,
): Promise<ExecProgram> {
  const mark = starterMark(paths);
  await endWorkers(mark); // what a runtime before was starting when it was killed: nothing begins behind our back
  const program = started.use(await openExecProgram(config.exec.helper));
  if (program.path === undefined) return program;
  try {
    started.use(await openStarter({ reaper, log, greeting: `hawser-exec ${protocol}`, mark }, program.path));
    return program;
  } catch (error) {
    return noProgram(error);
  }
}
