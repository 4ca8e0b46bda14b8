import { type ContainerEventType, createStreamingServer, serveCRI } from "@hawser/cri";
import { createLogger, type Logger, Metrics } from "@hawser/trace";
import { openExecGroups } from "./cgroup/open-exec-groups.ts";
import { needBooted, reachSystemd } from "./cgroup/systemd.ts";
import { Usage } from "./cgroup/usage.ts";
import { completeConfig, type PartialConfig } from "./config.ts";
import type { Context } from "./context.ts";
import { takeDirectories } from "./directories.ts";
import { imageService, imagesAdminService, openImageStore } from "./images/index.ts";
import { CallCounts } from "./metrics/calls.ts";
import { runtimeGauges } from "./metrics/gauges.ts";
import { serveMetrics } from "./metrics/serve.ts";
import { becomeSubreaper, Reaper } from "./native/reaper.ts";
import { claimPodCIDR } from "./network/claim.ts";
import { addRules } from "./network/rules.ts";
import { openAppArmor } from "./oci/apparmor.ts";
import { openExecHelper } from "./oci/exec-helper.ts";
import { readHierarchies } from "./oci/exec-place.ts";
import { readHost } from "./oci/host.ts";
import { makePauseRoot } from "./oci/pause-spec.ts";
import { chooseRuntime, needProgram, cgroupMode as readCgroupMode } from "./oci/probe.ts";
import type { OCIRuntimeName } from "./oci/runtime.ts";
import { pathsOf } from "./paths.ts";
import { recover } from "./recover.ts";
import { createReloader, type Reloader } from "./reload.ts";
import type { Places } from "./remove-everything.ts";
import { recordExit } from "./server/container-end.ts";
import { containerName } from "./server/container-name.ts";
import { describeContainerStatus, describeSandboxStatus } from "./server/describe.ts";
import { type ContainerEvent, Events } from "./server/events.ts";
import { PodCgroups } from "./server/pod-cgroups.ts";
import { sandboxName } from "./server/sandbox-name.ts";
import { runtimeService } from "./service.ts";
import { Exits } from "./store/exits.ts";
import { keepJSON, readJSON } from "./store/json-file.ts";
import { Monitors } from "./store/monitors.ts";
import { Pauses } from "./store/pauses.ts";
import type { ContainerRecord, SandboxRecord } from "./store/records.ts";
import { Store } from "./store/store.ts";
import { isContainerRecord, isSandboxRecord } from "./store/whole.ts";
import { streamingRuntime } from "./streaming-runtime.ts";

export type { PartialConfig, RuntimeConfig } from "./config.ts";
export type { OCIRuntimeName } from "./oci/runtime.ts";
export { removeEverything } from "./remove-everything.ts";

export interface RuntimeOptions {
  /** Where its state is. One runtime at a time per root. */
  root: string;
  /** The CRI's Unix socket. */
  socketPath: string;
  /** crun where installed, else runc. */
  ociRuntime?: OCIRuntimeName | undefined;
  config?: PartialConfig;
  log?: Logger;
}

/** A running CRI runtime. Disposing it leaves its containers running. */
export interface Runtime extends AsyncDisposable, Pick<Reloader, "reload"> {
  socketPath: string;
  ociRuntime: { name: OCIRuntimeName; version: string; reason: string };
  metrics: Metrics;
  /** Where /metrics is served, when it is: `http://127.0.0.1:9464/metrics`, `unix:///PATH`. */
  metricsAddress: string | undefined;
}

/**
 * Starts the CRI runtime: finds what an earlier one has left, and serves. Resolves when it is ready.
 * Throws when the root or the state directory is in use, a program is missing, the socket is taken, or the pods' addresses are.
 */
export async function startRuntime(options: RuntimeOptions): Promise<Runtime> {
  const config = completeConfig(options.config ?? {});
  const log = options.log ?? createLogger({ name: "runtime" });
  if (config.cgroupDriver === "systemd") await needBooted();
  const paths = pathsOf(options.root, config.stateDir);
  await using started = new AsyncDisposableStack();
  const { stateMade, keep } = started.use(await takeDirectories(paths));
  becomeSubreaper();
  const reaper = started.use(new Reaper());
  const [cgroupMode, conmonPath, pauseProgram] = await Promise.all([
    readCgroupMode(),
    needProgram(config.conmonProgram, "conmon"),
    needProgram(config.pauseProgram, "catatonit"),
  ]);
  if (config.cgroupDriver === "systemd") {
    log.info("cgroups are made by systemd", { version: await reachSystemd({ reaper }) });
  }
  const bridge = `hawser${paths.hash}`;
  const rules = { hash: paths.hash, bridge, podCIDR: config.podCIDR };
  const claim = { root: paths.root, stateDir: paths.stateDir, bridge, podCIDR: config.podCIDR };
  started.use(await claimPodCIDR(claim));
  const before = await readJSON<Places>(paths.places);
  await keepJSON(paths.places, {
    stateDir: paths.stateDir,
    stateMade: stateMade ?? (before?.stateDir === paths.stateDir ? before.stateMade : undefined),
    bridge,
    podCIDR: config.podCIDR,
    cniBinDir: config.cniBinDir,
    cgroupMode,
  } satisfies Places);
  keep();
  const [oci, host, groups, images] = await Promise.all([
    chooseRuntime({
      reaper,
      wanted: options.ociRuntime,
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
  const reloader = createReloader({ config, images, log });
  const metrics = new Metrics("hawser_runtime");
  const calls = new CallCounts();
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
  let networkReady: Promise<void> | undefined;
  const partial: Omit<Context, "streaming"> = {
    config,
    paths,
    log,
    metrics,
    reaper,
    oci,
    helper,
    conmonPath,
    host,
    appArmor,
    cgroupMode,
    network: {
      cni: { reaper, binDir: config.cniBinDir, timeoutMs: config.cniTimeoutSeconds * 1000 },
      name: bridge,
      podCIDR: config.podCIDR,
      ipamDir: paths.ipam,
      netnsDir: paths.netns,
      ready() {
        networkReady ??= addRules({ reaper, timeoutMs: config.cniTimeoutSeconds * 1000 }, rules);
        networkReady.catch(() => {
          networkReady = undefined; // the next pod tries again
        });
        return networkReady;
      },
    },
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
  const exits: Exits = started.use(
    new Exits({ directory: paths.exits, log, onExit: (id, exit) => recordExit(partial, id, exit) }),
  );
  const monitors = started.use(new Monitors({ containers, exits, log, now }));
  await recover({ ...partial, exits, monitors });
  await Promise.all(containers.list().map((container) => groups.endAbandoned(container)));

  const streaming = started.use(
    createStreamingServer({
      runtime: streamingRuntime(partial),
      address: config.streaming.address,
      port: config.streaming.port,
      idleTimeoutMs: () => config.streaming.idleTimeoutSeconds * 1000,
      streamCreationTimeoutMs: config.streaming.creationTimeoutSeconds * 1000,
      log: log.named("streaming"),
    }),
  );
  await streaming.start();
  started.use(
    await serveCRI({
      socketPath: options.socketPath,
      runtime: runtimeService({ ...partial, streaming, exits, monitors }),
      images: imageService(images),
      uploads: imagesAdminService(images),
      onCall(report) {
        const { method, durationMs, error } = report;
        calls.record(report);
        metrics.record(method, durationMs / 1000, error !== undefined);
        if (error !== undefined) log.at(2, "call failed", { method, error });
        else log.at(5, "call", { method, milliseconds: Math.round(durationMs) });
      },
    }),
  );
  const served = await serveMetrics({
    address: config.metrics.address,
    log: log.named("metrics"),
    collect: () => [...metrics.families(), ...calls.families(), ...runtimeGauges({ ...partial, streaming, reloader })],
  });
  if (served) started.use(served);
  const running = started.move();
  return {
    socketPath: options.socketPath,
    ociRuntime: { name: oci.name, version: oci.version, reason: oci.reason },
    metrics,
    metricsAddress: served?.address,
    reload: reloader.reload,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
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
