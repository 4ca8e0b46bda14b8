import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import type { Container, Pod, PodSpec } from "@hawser/api";
import { connectCRI, serveCRI } from "@hawser/cri";
import { createFakeRuntime, type FakeRuntime } from "@hawser/cri/testing";
import { Metrics, silentLogger } from "@hawser/trace";
import type { KubeletContext } from "../context.ts";
import { createEventRecorder } from "../events.ts";
import { type PodManager, startPodManager } from "../pods/manager.ts";
import { defaultSettings } from "../settings.ts";
import { createFakeAPI, type FakeAPI } from "./fake-api.ts";

export interface TestKubelet extends AsyncDisposable {
  api: FakeAPI;
  fake: FakeRuntime;
  context: KubeletContext;
  pods: PodManager;
  folder: string;
  /** Ends the pod workers and starts new ones: a kubelet's restart. */
  restart(): Promise<void>;
  /** The runtime's socket goes, with all its connections; what it runs stays. */
  stopRuntime(): Promise<void>;
  startRuntime(): Promise<void>;
}

/** A pod manager between a fake API server and, over a real socket, a fake runtime that has the image `img`. */
export async function startTestKubelet({ now = Date.now, events = true } = {}): Promise<TestKubelet> {
  const folder = await mkdtemp(path.join(os.tmpdir(), "hawser-kubelet-"));
  const stack = new AsyncDisposableStack();
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const fake = createFakeRuntime({ events });
  fake.present.add("img:1");
  const socketPath = path.join(folder, "cri.sock");
  const serve = () => serveCRI({ socketPath, runtime: fake.runtime, images: fake.images });
  let server: AsyncDisposable | undefined = await serve();
  stack.defer(() => server?.[Symbol.asyncDispose]());
  const cri = stack.adopt(await connectCRI({ endpoint: `unix://${socketPath}` }), (one) => one.close());
  const api = createFakeAPI();
  const settings = {
    ...defaultSettings(),
    nodeName: "worker",
    nodeIP: "192.168.205.11",
    rootDir: path.join(folder, "root"),
    podLogsDir: path.join(folder, "logs"),
  };
  const context: KubeletContext = {
    settings,
    folders: settings,
    runtime: cri.runtime,
    images: cri.images,
    runtimeName: "fake",
    client: api.client,
    events: stack.use(createEventRecorder({ client: api.client, nodeName: "worker", log: silentLogger })),
    log: silentLogger,
    metrics: new Metrics("test"),
    now,
    nodeIP: settings.nodeIP,
    dns: {
      host: { servers: ["192.0.2.53"], searches: [], options: [] },
      clusterDNS: [],
      clusterDomain: "cluster.local",
    },
    facts: {
      hostIP: settings.nodeIP,
      nodeName: "worker",
      allocatable: { cpu: 2, memory: 2 ** 32, "ephemeral-storage": 0 },
    },
    cgroupDriver: "cgroupfs",
    run: async (program) => {
      throw new Error(`a unit test must not run ${program}`);
    },
  };
  let pods = await startPodManager(context);
  stack.defer(() => pods[Symbol.asyncDispose]());
  await pods.synced;
  return {
    api,
    fake,
    context,
    folder,
    get pods() {
      return pods;
    },
    async restart() {
      await pods[Symbol.asyncDispose]();
      pods = await startPodManager(context);
      await pods.synced;
    },
    async stopRuntime() {
      await server?.[Symbol.asyncDispose]();
      server = undefined;
    },
    async startRuntime() {
      server = await serve();
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** A pod bound to the test's node. */
export function testPod(name: string, spec: Partial<PodSpec> & { containers?: Container[] } = {}): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default", uid: `uid-${name}` },
    spec: { nodeName: "worker", containers: [testContainer("c")], ...spec },
    status: { phase: "Pending" },
  };
}

export function testContainer(name: string, more: Partial<Container> = {}): Container {
  return { name, image: "img:1", imagePullPolicy: "IfNotPresent", ...more };
}
