import {
  ContainerState,
  type ContainerStatus,
  isNotFound,
  PodSandboxState,
  type PodSandboxStatus,
  type RuntimeClient,
} from "@hawser/cri";
import { containerNameLabel, podUIDLabel } from "./labels.ts";

/** Ended starts of a container that are kept beside the current one: the last one's log can still be read. */
export const keptDead = 1;

export interface ViewContainer {
  status: ContainerStatus;
  sandboxId: string;
}

/** What a runtime has of one pod. */
export interface PodView {
  /** Newest first. */
  sandboxes: PodSandboxStatus[];
  /** By container name, newest first. */
  containers: Map<string, ViewContainer[]>;
}

export const emptyView: PodView = { sandboxes: [], containers: new Map() };

/**
 * Reads what the runtime has of a pod. Statuses of exited containers do not change: those in `known` are not asked for again.
 * Throws CRIError.
 */
export async function readPodView(
  { runtime }: { runtime: RuntimeClient },
  uid: string,
  options: { known?: PodView; signal?: AbortSignal } = {},
): Promise<PodView> {
  const { known = emptyView, signal } = options;
  const filter = { labelSelector: { [podUIDLabel]: uid } };
  const [sandboxList, containerList] = await Promise.all([
    runtime.listPodSandbox({ filter }, { signal }),
    runtime.listContainers({ filter }, { signal }),
  ]);
  const exited = new Map<string, ContainerStatus>();
  for (const { status } of [...known.containers.values()].flat()) {
    if (status.state === ContainerState.CONTAINER_EXITED) exited.set(status.id, status);
  }
  const sandboxes = await Promise.all(
    sandboxList.items.map(async ({ id }) => {
      return gone(runtime.podSandboxStatus({ podSandboxId: id }, { signal }).then(({ status }) => status));
    }),
  );
  const containers = await Promise.all(
    containerList.containers.map(async ({ id, podSandboxId, state }) => {
      const cached = state === ContainerState.CONTAINER_EXITED ? exited.get(id) : undefined;
      const asked = () => gone(runtime.containerStatus({ containerId: id }, { signal }).then(({ status }) => status));
      const status = cached ?? (await asked());
      return status && { status, sandboxId: podSandboxId };
    }),
  );
  return {
    sandboxes: sandboxes.filter((found) => found !== undefined).sort((a, b) => compare(b.createdAt, a.createdAt)),
    containers: byName(containers.filter((found) => found !== undefined)),
  };
}

function byName(containers: ViewContainer[]): Map<string, ViewContainer[]> {
  const result = new Map<string, ViewContainer[]>();
  for (const container of containers) {
    const name = container.status.labels[containerNameLabel] ?? container.status.metadata?.name ?? "";
    const list = result.get(name);
    if (list) list.push(container);
    else result.set(name, [container]);
  }
  for (const list of result.values()) {
    list.sort((a, b) => attemptOf(b) - attemptOf(a) || compare(b.status.createdAt, a.status.createdAt));
  }
  return result;
}

/** Something listed a moment ago may be gone by now. */
async function gone<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

export function attemptOf({ status }: ViewContainer): number {
  return status.metadata?.attempt ?? 0;
}

/** The newest of a container's name. */
export function newest(view: PodView, name: string): ViewContainer | undefined {
  return view.containers.get(name)?.[0];
}

type InState<State> = ViewContainer & { status: ContainerStatus & { state: State } };

export function isRunning(
  container: ViewContainer | undefined,
): container is InState<typeof ContainerState.CONTAINER_RUNNING> {
  return container?.status.state === ContainerState.CONTAINER_RUNNING;
}

export function isExited(
  container: ViewContainer | undefined,
): container is InState<typeof ContainerState.CONTAINER_EXITED> {
  return container?.status.state === ContainerState.CONTAINER_EXITED;
}

/** The newest sandbox, if it is up. */
export function readySandbox(view: PodView): PodSandboxStatus | undefined {
  const [sandbox] = view.sandboxes;
  return sandbox?.state === PodSandboxState.SANDBOX_READY ? sandbox : undefined;
}

/** The sandbox's addresses, the first one first. */
export function sandboxIPs(sandbox: PodSandboxStatus | undefined): string[] {
  const { ip = "", additionalIps = [] } = sandbox?.network ?? {};
  return [ip, ...additionalIps.map((more) => more.ip)].filter(Boolean);
}
