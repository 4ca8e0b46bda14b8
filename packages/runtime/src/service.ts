import type { CallContext, RuntimeService } from "@hawser/cri";
import type { Context } from "./context.ts";
import { attach } from "./server/container-attach.ts";
import { checkpointContainer } from "./server/container-checkpoint.ts";
import { createContainer } from "./server/container-create.ts";
import { getContainerEvents } from "./server/container-events.ts";
import { exec } from "./server/container-exec.ts";
import { execSync } from "./server/container-execsync.ts";
import { listContainers, streamContainers } from "./server/container-list.ts";
import { removeContainer } from "./server/container-remove.ts";
import { reopenContainerLog } from "./server/container-reopen-log.ts";
import { startContainer } from "./server/container-start.ts";
import { containerStats, listContainerStats, streamContainerStats } from "./server/container-stats.ts";
import { containerStatus } from "./server/container-status.ts";
import { stopContainer } from "./server/container-stop.ts";
import { updateContainerResources } from "./server/container-update.ts";
import { listMetricDescriptors, podSandboxMetrics } from "./server/metrics-list.ts";
import { runtimeConfig } from "./server/runtime-config.ts";
import { listPodSandbox, streamPodSandboxes } from "./server/sandbox-list.ts";
import { portForward } from "./server/sandbox-portforward.ts";
import { removePodSandbox } from "./server/sandbox-remove.ts";
import { runPodSandbox } from "./server/sandbox-run.ts";
import { listPodSandboxStats, podSandboxStats, streamPodSandboxStats } from "./server/sandbox-stats.ts";
import { podSandboxStatus } from "./server/sandbox-status.ts";
import { stopPodSandbox } from "./server/sandbox-stop.ts";
import { updatePodSandboxResources } from "./server/sandbox-update.ts";
import { status } from "./server/status.ts";
import { updateRuntimeConfig } from "./server/update-runtime-config.ts";
import { version } from "./server/version.ts";
import type { Exits } from "./store/exits.ts";
import type { Monitors } from "./store/monitors.ts";
import { turn } from "./turns.ts";

/** The CRI's RuntimeService: one function per method, joined to what they work with. */
export function runtimeService(context: Context & { exits: Exits; monitors: Monitors }): Partial<RuntimeService> {
  const listPodSandboxMetrics = podSandboxMetrics(context);
  return {
    version: (request) => version(request),
    status: (request) => status(context, request),
    runtimeConfig: () => runtimeConfig(context),
    updateRuntimeConfig: (request) => updateRuntimeConfig(context, request),
    runPodSandbox: (request, call) => inTurn(() => runPodSandbox(context, request, call)),
    stopPodSandbox: (request) => inTurn(() => stopPodSandbox(context, request)),
    removePodSandbox: (request) => inTurn(() => removePodSandbox(context, request)),
    podSandboxStatus: (request) => podSandboxStatus(context, request),
    listPodSandbox: (request) => listPodSandbox(context, request),
    streamPodSandboxes: (request) => streamPodSandboxes(context, request),
    createContainer: (request) => inTurn(() => createContainer(context, request)),
    startContainer: (request) => inTurn(() => startContainer(context, request)),
    stopContainer: (request, call) => inTurn(() => stopContainer(context, request, call)),
    removeContainer: (request) => inTurn(() => removeContainer(context, request)),
    listContainers: (request) => listContainers(context, request),
    streamContainers: (request) => streamContainers(context, request),
    containerStatus: (request) => containerStatus(context, request),
    updateContainerResources: (request) => updateContainerResources(context, request),
    reopenContainerLog: (request) => reopenContainerLog(context, request),
    execSync: (request, call) => execSync(context, request, call),
    exec: (request) => exec(context, request),
    attach: (request) => attach(context, request),
    portForward: (request) => portForward(context, request),
    containerStats: (request) => containerStats(context, request),
    listContainerStats: (request) => listContainerStats(context, request),
    streamContainerStats: (request) => streamContainerStats(context, request),
    podSandboxStats: (request) => podSandboxStats(context, request),
    listPodSandboxStats: (request) => listPodSandboxStats(context, request),
    streamPodSandboxStats: (request) => streamPodSandboxStats(context, request),
    checkpointContainer: () => checkpointContainer(),
    getContainerEvents: (request, call: CallContext) => getContainerEvents(context, request, call),
    listMetricDescriptors: () => listMetricDescriptors(),
    listPodSandboxMetrics: (_, { signal }) => listPodSandboxMetrics(signal),
    updatePodSandboxResources: () => updatePodSandboxResources(),
  };
}

/** Of fifty pods that are asked for at once, as many are begun in one turn of the event loop as it may be held for. */
async function inTurn<T>(body: () => Promise<T>): Promise<T> {
  await turn();
  return await body();
}
