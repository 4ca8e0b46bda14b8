import { ContainerState, NamespaceMode, PodSandboxState } from "@hawser/cri";
import type { IDMapping } from "../native/idmap.ts";
import { criSignal } from "../oci/signals.ts";
import type { ContainerRecord, ResourceRecord, SandboxRecord } from "../store/records.ts";

/** Records in the CRI's words. */

const containerStates = {
  created: ContainerState.CONTAINER_CREATED,
  running: ContainerState.CONTAINER_RUNNING,
  exited: ContainerState.CONTAINER_EXITED,
} as const;

export function containerState({ state }: Pick<ContainerRecord, "state">): ContainerState {
  return containerStates[state];
}

export function sandboxState({ state }: Pick<SandboxRecord, "state">): PodSandboxState {
  return state === "ready" ? PodSandboxState.SANDBOX_READY : PodSandboxState.SANDBOX_NOTREADY;
}

export function describeContainer(record: ContainerRecord) {
  return {
    id: record.id,
    podSandboxId: record.sandboxId,
    metadata: record.metadata,
    image: imageOf(record),
    imageRef: record.imageId, // which kubelets before 1.30 tell the images in use by; a status has the digest
    imageId: record.imageId,
    state: containerState(record),
    createdAt: BigInt(record.createdAt),
    labels: record.labels,
    annotations: record.annotations,
  };
}

export function describeContainerStatus(record: ContainerRecord) {
  const { user } = record.process;
  return {
    id: record.id,
    metadata: record.metadata,
    state: containerState(record),
    createdAt: BigInt(record.createdAt),
    startedAt: BigInt(record.startedAt),
    finishedAt: BigInt(record.finishedAt),
    exitCode: record.exitCode,
    image: imageOf(record),
    imageRef: record.imageRef,
    imageId: record.imageId,
    reason: record.reason,
    message: record.message,
    labels: record.labels,
    annotations: record.annotations,
    mounts: record.mounts,
    logPath: record.logPath,
    resources: { linux: linuxResources(record.resources) },
    user: {
      linux: {
        uid: BigInt(user.uid),
        gid: BigInt(user.gid),
        supplementalGroups: (user.additionalGids ?? []).map(BigInt),
      },
    },
    stopSignal: criSignal(record.stopSignal),
  };
}

export function describeSandbox(record: SandboxRecord) {
  return {
    id: record.id,
    metadata: record.metadata,
    state: sandboxState(record),
    createdAt: BigInt(record.createdAt),
    labels: record.labels,
    annotations: record.annotations,
    runtimeHandler: record.runtimeHandler,
  };
}

export function describeSandboxStatus(record: SandboxRecord) {
  const [ip = "", ...others] = (record.state === "ready" && record.network?.ips) || [];
  return {
    ...describeSandbox(record),
    network: { ip, additionalIps: others.map((other) => ({ ip: other })) },
    linux: { namespaces: { options: { ...record.namespaces, ...describeUsers(record) } } },
  };
}

function describeUsers({ users }: SandboxRecord) {
  const listed = (mappings: IDMapping[]) =>
    mappings.map(({ containerID, hostID, size }) => ({ containerId: containerID, hostId: hostID, length: size }));
  return users && { usernsOptions: { mode: NamespaceMode.POD, uids: listed(users.uids), gids: listed(users.gids) } };
}

function imageOf({ image }: ContainerRecord) {
  return { image: image.image, userSpecifiedImage: image.userSpecified, annotations: image.annotations };
}

function linuxResources(resources: ResourceRecord) {
  const big = (value: number | undefined) => BigInt(value ?? 0);
  return {
    cpuPeriod: big(resources.cpuPeriod),
    cpuQuota: big(resources.cpuQuota),
    cpuShares: big(resources.cpuShares),
    memoryLimitInBytes: big(resources.memoryLimitInBytes),
    memorySwapLimitInBytes: big(resources.memorySwapLimitInBytes),
    oomScoreAdj: big(resources.oomScoreAdj),
    cpusetCpus: resources.cpusetCpus ?? "",
    cpusetMems: resources.cpusetMems ?? "",
    hugepageLimits: (resources.hugepageLimits ?? []).map(({ pageSize, limit }) => ({ pageSize, limit: BigInt(limit) })),
    unified: resources.unified ?? {},
  };
}
