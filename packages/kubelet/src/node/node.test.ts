import assert from "node:assert/strict";
import { test } from "node:test";
import { type Lease, type Node, type NodeStatus, StatusError } from "@hawser/api";
import { startTestKubelet } from "../testing/test-kubelet.ts";
import { nodeConditions } from "./conditions.ts";
import { nodeFacts } from "./facts.ts";
import { keepLease } from "./lease.ts";
import { keepNode } from "./register.ts";

const GiB = 2 ** 30;
const well = {
  memoryAvailable: GiB,
  disk: { size: 100 * GiB, available: 50 * GiB, inodes: 1000, inodesFree: 900 },
  pids: { limit: 1000, used: 10 },
};
const ready = { ready: true, message: "" };

test("conditions: all well, each pressure, a runtime that is down; times of change stay", () => {
  const first = nodeConditions({ pressure: well, runtime: ready, now: 0 });
  assert.deepEqual(
    first.map(({ type, status }) => `${type}=${status}`),
    ["MemoryPressure=False", "DiskPressure=False", "PIDPressure=False", "Ready=True"],
  );
  const bad = {
    memoryAvailable: 1,
    disk: { ...well.disk, inodesFree: 1 },
    pids: { limit: 1000, used: 999 },
  };
  const second = nodeConditions({ pressure: bad, runtime: { ready: false, message: "down" }, now: 60_000 }, first);
  assert.deepEqual(
    second.map(({ status }) => status),
    ["True", "True", "True", "False"],
  );
  assert.deepEqual([second[3]?.reason, second[3]?.message], ["KubeletNotReady", "down"]);
  const third = nodeConditions({ pressure: bad, runtime: ready, now: 120_000 }, second);
  assert.deepEqual(
    third.map(({ lastTransitionTime }) => lastTransitionTime?.slice(14, 16)),
    ["01", "01", "01", "02"],
  );
});

test("this machine's facts are facts", async () => {
  const facts = await nodeFacts();
  assert.ok(facts.cpus > 0 && facts.memory > 0);
  assert.match(facts.architecture, /^(amd64|arm64)$/);
  assert.match(facts.bootID, /^[0-9a-f-]{36}$/);
});

test("the node is registered with everything kubectl shows, and its status is sent", async () => {
  await using kubelet = await startTestKubelet();
  const stop = new AbortController();
  const made: Node[] = [];
  const patched: { status: NodeStatus & { declaredFeatures: string[] } }[] = [];
  const client = {
    ...kubelet.context.client,
    async create(_ref: unknown, node: Node) {
      if (made.push(node) === 1) throw new StatusError({ status: "Failure", code: 503, reason: "ServiceUnavailable" });
      return node;
    },
    async patch(_ref: unknown, patch: never) {
      patched.push(patch);
      return {};
    },
  } as never;
  const { runtime } = kubelet.context;
  const patience: (number | undefined)[] = [];
  const watched: typeof runtime = {
    ...runtime,
    status(request, options) {
      patience.push(options?.timeoutMs);
      return runtime.status(request, options);
    },
  };
  const folders = { rootDir: kubelet.folder, podLogsDir: kubelet.folder };
  const context = { ...kubelet.context, client, runtime: watched, folders } as typeof kubelet.context;
  const onReady = () => stop.abort();
  await keepNode(context, {
    facts: await nodeFacts(),
    port: 10250,
    runtimeVersion: "1.0.0",
    signal: stop.signal,
    onReady,
  });
  const [{ status } = { status: undefined }] = patched;
  assert.equal(made.length, 2, "tried again");
  assert.equal(made[1]?.metadata?.labels?.["kubernetes.io/hostname"], "worker");
  assert.equal(status?.daemonEndpoints?.kubeletEndpoint?.Port, 10250);
  assert.equal(status?.nodeInfo?.containerRuntimeVersion, "fake://1.0.0");
  assert.ok(status?.addresses?.some(({ type, address }) => type === "InternalIP" && address === "192.168.205.11"));
  assert.deepEqual(status?.declaredFeatures, ["ExtendWebSocketsToKubelet"]);
  assert.equal(status?.capacity?.pods, "110");
  assert.deepEqual(
    patience,
    [30_000, 30_000],
    "and not as long as other calls, before a silent runtime counts as down",
  );
});

test("the lease: made, then renewed", async () => {
  await using kubelet = await startTestKubelet();
  const stop = new AbortController();
  const writes: string[] = [];
  const absent = () => Promise.reject(new StatusError({ status: "Failure", code: 404, reason: "NotFound" }));
  const client = {
    get: absent,
    create: async (_ref: unknown, lease: Lease) => {
      writes.push(`create ${lease.metadata?.name} ${lease.spec?.leaseDurationSeconds}`);
      return lease;
    },
    update: async (_ref: unknown, lease: Lease) => {
      writes.push(`update ${lease.spec?.holderIdentity}`);
      stop.abort();
      return lease;
    },
  } as never;
  await keepLease(
    { ...kubelet.context, client, settings: { ...kubelet.context.settings, nodeLeaseDuration: 40 } },
    stop.signal,
  );
  assert.deepEqual(writes, ["create worker 0.04", "update worker"]);
});
