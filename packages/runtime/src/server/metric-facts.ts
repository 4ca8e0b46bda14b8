import { readDetails } from "../cgroup/details.ts";
import { countProcesses, softFilesLimit } from "../cgroup/processes.ts";
import type { Context } from "../context.ts";
import type { ContainerRecord, SandboxRecord } from "../store/records.ts";
import { layerOf } from "./container-stats.ts";
import type { Facts } from "./metric-descriptors.ts";
import { type InterfaceCounters, networkCounters } from "./network-usage.ts";

/** Labels of all metrics. */
export interface Labels {
  id: string;
  image: string;
  namespace: string;
  pod: string;
  container: string;
}

/** What is known of a pod, or a container. */
export interface Found {
  labels: Labels;
  facts: Facts;
}
export interface FoundPod extends Found {
  interfaces: InterfaceCounters[];
  containers: Found[];
}

type Dependencies = Pick<Context, "containers" | "usage" | "now" | "cgroupMode" | "paths" | "log">;

/** A pod and its running containers, each of which is looked at by `look` when its turn has come. Fails as `look` does. */
export async function lookAtPod(
  dependencies: Dependencies,
  { id, cgroupParent, metadata, network, pause }: SandboxRecord,
  look: (container: () => Promise<Found>) => Promise<Found>,
): Promise<FoundPod> {
  const { usage, cgroupMode: mode } = dependencies;
  const labels = { id, image: "", namespace: metadata.namespace, pod: metadata.name, container: "" };
  const inside = dependencies.containers
    .list()
    .filter(({ sandboxId, state }) => sandboxId === id && state === "running");
  const [own, details, interfaces, containers] = await Promise.all([
    usage.read(cgroupParent),
    readDetails({ mode }, cgroupParent),
    network && pause ? networkCounters(pause.pid) : [],
    Promise.all(inside.map((record) => look(() => lookAtContainer(dependencies, labels, record)))),
  ]);
  return { labels, facts: { usage: own, details }, interfaces, containers };
}

async function lookAtContainer(dependencies: Dependencies, pod: Labels, record: ContainerRecord): Promise<Found> {
  const { usage, cgroupMode: mode } = dependencies;
  const { id, metadata, image, cgroupPath, resources, startedAt, init } = record;
  const [own, details, counts, files, layer] = await Promise.all([
    usage.read(cgroupPath),
    readDetails({ mode }, cgroupPath),
    countProcesses({ mode }, cgroupPath),
    softFilesLimit(init.pid),
    layerOf(dependencies, record),
  ]);
  const container = {
    resources,
    startedAt: BigInt(startedAt),
    counts,
    softFilesLimit: files,
    layerBytes: layer?.bytes,
  };
  const labels = { ...pod, id, image: image.userSpecified || image.image, container: metadata.name };
  return { labels, facts: { usage: own, details, container } };
}
