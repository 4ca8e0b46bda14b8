import { create } from "@bufbuild/protobuf";
import { Code, CRIError } from "../errors.ts";
import {
  type ContainerConfig,
  type ContainerEventResponse,
  ContainerEventResponseSchema,
  ContainerEventType,
  ContainerState,
  type ContainerStatus,
  ContainerStatusSchema,
  type ExecSyncRequest,
  type ExecSyncResponse,
  ImageSchema,
  type PodSandboxConfig,
  PodSandboxState,
  type PodSandboxStatus,
  PodSandboxStatusSchema,
} from "../gen/cri_pb.ts";
import type { ImageService, RuntimeService } from "../service.ts";

export interface FakeSandbox {
  config: PodSandboxConfig;
  status: PodSandboxStatus;
}

export interface FakeContainer {
  sandboxId: string;
  config: ContainerConfig;
  status: ContainerStatus;
}

/** A runtime that keeps everything in memory and runs nothing: tests say what its containers do. */
export interface FakeRuntime {
  runtime: Partial<RuntimeService>;
  images: Partial<ImageService>;
  sandboxes: Map<string, FakeSandbox>;
  containers: Map<string, FakeContainer>;
  /** Every call so far, oldest first: `RunPodSandbox web`, `StopContainer c1 30`. */
  calls: string[];
  /** References that PullImage finds; those in `present` need no pull. */
  pullable: Set<string>;
  present: Set<string>;
  /** Before each call by its CRI name; throw to make it fail, wait to make it slow. */
  intercept: (method: string, request: unknown) => Promise<void> | void;
  /** What ExecSync answers. */
  execSync: (
    request: ExecSyncRequest,
    signal: AbortSignal,
  ) => Promise<Partial<ExecSyncResponse>> | Partial<ExecSyncResponse>;
  /** What a stopped container exits with after its stop signal; undefined: it needs the kill (137). */
  exitOnStop: number | undefined;
  /** The URL that Exec, Attach and PortForward answer. */
  streamingURL: string;
  /** Ends a running container, as if its process had. */
  exit(containerId: string, exitCode: number, reason?: string): void;
  /** The newest container of this name. */
  find(name: string): FakeContainer | undefined;
}

/** Makes an empty fake. With `events`, GetContainerEvents is served too; without, it is Unimplemented. */
export function createFakeRuntime({ events = true, now = Date.now } = {}): FakeRuntime {
  let next = 1;
  const listeners = new Set<(event: ContainerEventResponse) => void>();
  const nanos = () => BigInt(now()) * 1_000_000n;

  const fake: FakeRuntime = {
    runtime: {},
    images: {},
    sandboxes: new Map(),
    containers: new Map(),
    calls: [],
    pullable: new Set(),
    present: new Set(),
    intercept: () => undefined,
    execSync: () => ({ exitCode: 0 }),
    exitOnStop: 0,
    streamingURL: "http://127.0.0.1:1/exec/token",
    exit(id, exitCode, reason) {
      const container = containerOf(id);
      if (container.status.state === ContainerState.CONTAINER_EXITED) return;
      container.status.state = ContainerState.CONTAINER_EXITED;
      container.status.exitCode = exitCode;
      container.status.finishedAt = nanos();
      container.status.reason = reason ?? (exitCode === 0 ? "Completed" : "Error");
      emit(container, ContainerEventType.CONTAINER_STOPPED_EVENT);
    },
    find(name) {
      return [...fake.containers.values()].findLast((container) => container.config.metadata?.name === name);
    },
  };

  async function called(method: string, detail: string, request: unknown) {
    fake.calls.push(`${method} ${detail}`.trimEnd());
    await fake.intercept(method, request);
  }
  function sandboxOf(id: string): FakeSandbox {
    const found = fake.sandboxes.get(id);
    if (!found) throw new CRIError(Code.NotFound, `sandbox "${id}" not found`);
    return found;
  }
  function containerOf(id: string): FakeContainer {
    const found = fake.containers.get(id);
    if (!found) throw new CRIError(Code.NotFound, `container "${id}" not found`);
    return found;
  }
  function emit(container: FakeContainer, type: ContainerEventType) {
    const event = create(ContainerEventResponseSchema, {
      containerId: container.status.id,
      containerEventType: type,
      createdAt: nanos(),
    });
    const sandbox = fake.sandboxes.get(container.sandboxId);
    if (sandbox) event.podSandboxStatus = sandbox.status;
    for (const listener of listeners) listener(event);
  }

  fake.runtime = {
    async version() {
      return { version: "0.1.0", runtimeName: "fake", runtimeVersion: "1.0.0", runtimeApiVersion: "v1" };
    },
    async status() {
      const conditions = ["RuntimeReady", "NetworkReady"].map((type) => ({ type, status: true }));
      return { status: { conditions } };
    },
    async runPodSandbox({ config }) {
      if (!config?.metadata) throw new CRIError(Code.InvalidArgument, "sandbox config has no metadata");
      await called("RunPodSandbox", config.metadata.name, config);
      const id = `s${next++}`;
      const status = create(PodSandboxStatusSchema, {
        id,
        metadata: config.metadata,
        state: PodSandboxState.SANDBOX_READY,
        createdAt: nanos(),
        network: { ip: `10.88.0.${next}` },
        labels: config.labels,
        annotations: config.annotations,
      });
      fake.sandboxes.set(id, { config, status });
      return { podSandboxId: id };
    },
    async stopPodSandbox({ podSandboxId }) {
      await called("StopPodSandbox", podSandboxId, undefined);
      const sandbox = fake.sandboxes.get(podSandboxId);
      if (!sandbox) return {};
      for (const [id, container] of fake.containers) {
        const running = container.status.state === ContainerState.CONTAINER_RUNNING;
        if (container.sandboxId === podSandboxId && running) fake.exit(id, 137);
      }
      sandbox.status.state = PodSandboxState.SANDBOX_NOTREADY;
      return {};
    },
    async removePodSandbox({ podSandboxId }) {
      await called("RemovePodSandbox", podSandboxId, undefined);
      for (const [id, container] of fake.containers)
        if (container.sandboxId === podSandboxId) fake.containers.delete(id);
      fake.sandboxes.delete(podSandboxId);
      return {};
    },
    async podSandboxStatus({ podSandboxId }) {
      return { status: sandboxOf(podSandboxId).status };
    },
    async listPodSandbox({ filter }) {
      const found = [...fake.sandboxes.values()].filter(({ status }) => matches(filter, status));
      return { items: found.map(({ status: { $typeName: _, ...status } }) => status) };
    },
    async createContainer({ podSandboxId, config }) {
      if (!config?.metadata) throw new CRIError(Code.InvalidArgument, "container config has no metadata");
      await called("CreateContainer", config.metadata.name, config);
      sandboxOf(podSandboxId);
      const id = `c${next++}`;
      const status = create(ContainerStatusSchema, {
        id,
        metadata: config.metadata,
        state: ContainerState.CONTAINER_CREATED,
        createdAt: nanos(),
        image: config.image ?? {},
        imageRef: `sha256:${config.image?.image}`,
        imageId: `sha256:${config.image?.image}`,
        labels: config.labels,
        annotations: config.annotations,
        logPath: config.logPath,
        mounts: config.mounts,
      });
      const container = { sandboxId: podSandboxId, config, status };
      fake.containers.set(id, container);
      emit(container, ContainerEventType.CONTAINER_CREATED_EVENT);
      return { containerId: id };
    },
    async startContainer({ containerId }) {
      const container = containerOf(containerId);
      await called("StartContainer", containerId, container.config);
      container.status.state = ContainerState.CONTAINER_RUNNING;
      container.status.startedAt = nanos();
      emit(container, ContainerEventType.CONTAINER_STARTED_EVENT);
      return {};
    },
    async stopContainer({ containerId, timeout }) {
      await called("StopContainer", `${containerId} ${timeout}`, undefined);
      const container = fake.containers.get(containerId);
      if (container?.status.state === ContainerState.CONTAINER_RUNNING) fake.exit(containerId, fake.exitOnStop ?? 137);
      return {};
    },
    async removeContainer({ containerId }) {
      await called("RemoveContainer", containerId, undefined);
      const container = fake.containers.get(containerId);
      fake.containers.delete(containerId);
      if (container) emit(container, ContainerEventType.CONTAINER_DELETED_EVENT);
      return {};
    },
    async listContainers({ filter }) {
      const found = [...fake.containers.values()].filter(({ status }) => matches(filter, status));
      const containers = found.map(({ sandboxId, status }) => {
        const { id, metadata, image, imageRef, imageId, state, createdAt, labels, annotations } = status;
        const common = { id, podSandboxId: sandboxId, imageRef, imageId, state, createdAt, labels, annotations };
        return { ...common, ...(metadata && { metadata }), ...(image && { image }) };
      });
      return { containers };
    },
    async containerStatus({ containerId }) {
      return { status: containerOf(containerId).status };
    },
    async reopenContainerLog({ containerId }) {
      await called("ReopenContainerLog", containerId, undefined);
      return {};
    },
    async execSync(request, { signal }) {
      await called("ExecSync", `${request.containerId} ${request.cmd.join(" ")}`, request);
      containerOf(request.containerId);
      const { $typeName: _, ...answer } = await fake.execSync(request, signal);
      return answer;
    },
    async exec(request) {
      await called("Exec", `${request.containerId} ${request.cmd.join(" ")}`, request);
      containerOf(request.containerId);
      return { url: fake.streamingURL };
    },
    async attach(request) {
      await called("Attach", request.containerId, request);
      containerOf(request.containerId);
      return { url: fake.streamingURL };
    },
    async portForward(request) {
      await called("PortForward", request.podSandboxId, request);
      sandboxOf(request.podSandboxId);
      return { url: fake.streamingURL };
    },
  };
  if (events) {
    fake.runtime.getContainerEvents = async function* (_request, { signal }) {
      const queue: ContainerEventResponse[] = [];
      let wake = () => {};
      const listener = (event: ContainerEventResponse) => {
        queue.push(event);
        wake();
      };
      const stop = () => wake();
      listeners.add(listener);
      signal.addEventListener("abort", stop);
      try {
        while (!signal.aborted) {
          const event = queue.shift();
          if (event) yield event;
          else await new Promise<void>((resolve) => (wake = resolve));
        }
      } finally {
        listeners.delete(listener);
        signal.removeEventListener("abort", stop);
      }
    };
  }

  fake.images = {
    async imageStatus({ image }) {
      const name = image?.image ?? "";
      return fake.present.has(name) ? { image: create(ImageSchema, { id: `sha256:${name}`, repoTags: [name] }) } : {};
    },
    async pullImage({ image }) {
      const name = image?.image ?? "";
      await called("PullImage", name, image);
      if (!fake.pullable.has(name))
        throw new CRIError(Code.NotFound, `failed to resolve reference "${name}": not found`);
      fake.present.add(name);
      return { imageRef: `sha256:${name}` };
    },
    async listImages() {
      return { images: [...fake.present].map((name) => ({ id: `sha256:${name}`, repoTags: [name], size: 1000n })) };
    },
    async imageFsInfo() {
      return { imageFilesystems: [{ fsId: { mountpoint: "/" }, usedBytes: { value: 0n } }] };
    },
  };
  return fake;
}

interface Filter {
  id: string;
  state?: { state: unknown } | undefined;
  labelSelector: Record<string, string>;
}

/** A sandbox filter, or a container filter but for its sandbox. */
function matches(
  filter: Filter | undefined,
  one: { id: string; state: unknown; labels: Record<string, string> },
): boolean {
  if (!filter) return true;
  if (filter.id && filter.id !== one.id) return false;
  if (filter.state && filter.state.state !== one.state) return false;
  return Object.entries(filter.labelSelector).every(([key, value]) => one.labels[key] === value);
}
