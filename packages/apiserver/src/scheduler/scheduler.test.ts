import assert from "node:assert/strict";
import { test } from "node:test";
import { type Event, type Node, type Pod, StatusError } from "@hawser/api";
import { silentLogger } from "@hawser/trace";
import { type MemoryObjects, memoryObjects } from "../testing/memory-objects.ts";
import { startPodScheduler } from "./scheduler.ts";

const ready = { conditions: [{ type: "Ready", status: "True" }], allocatable: { cpu: "2", memory: "1Gi", pods: "10" } };

function addNode(
  objects: MemoryObjects,
  name: string,
  { spec = {}, status = {}, labels = {} }: { spec?: object; status?: object; labels?: Record<string, string> } = {},
) {
  return objects.put<Node>({ resource: "nodes" }, {
    metadata: { name, labels },
    spec,
    status: { ...ready, ...status },
  } as Node);
}

function addPod(objects: MemoryObjects, name: string, spec: object = {}, requests: Record<string, string> = {}) {
  const containers = [{ name: "c", resources: { requests } }];
  const pod = { metadata: { name, namespace: "default" }, spec: { containers, ...spec }, status: { phase: "Pending" } };
  return objects.put<Pod>({ resource: "pods" }, pod as Pod);
}

const podOf = (objects: MemoryObjects, name: string) =>
  objects.get<Pod>({ resource: "pods", namespace: "default", name });
const nodeOf = async (objects: MemoryObjects, name: string) => (await podOf(objects, name)).spec?.nodeName;
const reasonOf = async (objects: MemoryObjects, name: string) =>
  (await podOf(objects, name)).status?.conditions?.find(({ type }) => type === "PodScheduled")?.message;
const eventsOf = async (objects: MemoryObjects) => (await objects.list<Event>({ resource: "events" })).items;

/** Until it is so; fails after 20 seconds, which a busy machine may take. There is no polling in what is tested: this only bounds the wait. */
async function until<T>(look: () => Promise<T | undefined | false>): Promise<T> {
  const end = performance.now() + 20_000;
  for (;;) {
    const found = await look();
    if (found) return found;
    assert.ok(performance.now() < end, "it did not come about");
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const start = (objects: MemoryObjects) => startPodScheduler({ objects, log: silentLogger });

test("a pod is bound at once, and people are told", async () => {
  const objects = memoryObjects();
  addNode(objects, "worker");
  await using _ = await start(objects);
  addPod(objects, "web");
  assert.equal(await until(() => nodeOf(objects, "web")), "worker");
  const [event] = await until(async () => (await eventsOf(objects)).length > 0 && eventsOf(objects));
  assert.equal(event?.message, "Successfully assigned default/web to worker");
  assert.deepEqual(
    [event?.type, event?.reason, event?.source?.component],
    ["Normal", "Scheduled", "default-scheduler"],
  );
  assert.equal(event?.involvedObject.name, "web");
});

test("pods that were there before are bound too, and those of others left alone", async () => {
  const objects = memoryObjects();
  addNode(objects, "worker");
  addPod(objects, "early");
  addPod(objects, "theirs", { schedulerName: "another" });
  addPod(objects, "gated", { schedulingGates: [{ name: "g" }] });
  addPod(objects, "preset", { nodeName: "elsewhere" });
  await using _ = await start(objects);
  await until(() => nodeOf(objects, "early"));
  addPod(objects, "late");
  await until(() => nodeOf(objects, "late"));
  assert.equal(await nodeOf(objects, "theirs"), undefined);
  assert.equal(await nodeOf(objects, "gated"), undefined);
  assert.equal(await nodeOf(objects, "preset"), "elsewhere");
});

const cases: {
  name: string;
  nodes: Parameters<typeof addNode>[2][];
  spec?: object;
  requests?: Record<string, string>;
  want: string;
}[] = [
  { name: "no node", nodes: [], want: "no nodes available to schedule pods" },
  {
    name: "a node that is not ready",
    nodes: [{ status: { conditions: [{ type: "Ready", status: "False" }] } }],
    want: "0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
  },
  {
    name: "a silent node",
    nodes: [{ status: { conditions: [{ type: "Ready", status: "Unknown" }] } }],
    want: "0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/unreachable: }. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
  },
  {
    name: "a cordoned node, a tainted one and a small one",
    nodes: [
      { spec: { unschedulable: true } },
      { spec: { taints: [{ key: "gpu", value: "yes", effect: "NoSchedule" }] } },
      { status: { allocatable: { cpu: "500m", memory: "1Gi", pods: "10" } } },
    ],
    requests: { cpu: "1", memory: "64Mi" },
    want: "0/3 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint {gpu: yes}, 1 node(s) were unschedulable. preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.",
  },
  {
    name: "a selector",
    nodes: [{ labels: { disk: "hdd" } }],
    spec: { nodeSelector: { disk: "ssd" } },
    want: "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
  },
  {
    name: "what is not implemented, by name",
    nodes: [{}],
    spec: { affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: "h" }] } } },
    want: "0/1 nodes are available: 1 required pod anti-affinity is not implemented by this scheduler. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
  },
  {
    name: "a claim",
    nodes: [{}],
    spec: { volumes: [{ name: "v", persistentVolumeClaim: { claimName: "data" } }] },
    want: '0/1 nodes are available: 1 persistentvolumeclaim "data" not found. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.',
  },
];
for (const { name, nodes, spec, requests, want } of cases) {
  test(`why a pod waits: ${name}`, async () => {
    const objects = memoryObjects();
    nodes.forEach((node, index) => {
      addNode(objects, `node-${index}`, node);
    });
    await using _ = await start(objects);
    addPod(objects, "web", spec, requests);
    assert.equal(await until(() => reasonOf(objects, "web")), want);
    const [event] = await until(async () => (await eventsOf(objects)).length > 0 && eventsOf(objects));
    assert.deepEqual([event?.type, event?.reason, event?.message], ["Warning", "FailedScheduling", want]);
    assert.equal(await nodeOf(objects, "web"), undefined);
  });
}

test("a waiting pod is placed when its node becomes ready, and not told twice for the same reason", async () => {
  const objects = memoryObjects();
  const node = addNode(objects, "worker", { status: { conditions: [{ type: "Ready", status: "False" }] } });
  await using _ = await start(objects);
  addPod(objects, "web");
  await until(() => reasonOf(objects, "web"));
  for (const label of ["a", "b"])
    objects.put({ resource: "nodes" }, { ...node, metadata: { name: "worker", labels: { label } } });
  addPod(objects, "other", { nodeName: "worker" });
  objects.put({ resource: "nodes" }, { ...node, status: ready } as object);
  await until(() => nodeOf(objects, "web"));
  const warnings = (await eventsOf(objects)).filter(({ reason }) => reason === "FailedScheduling");
  assert.equal(warnings.length, 1);
});

test("room: pods do not take more than there is, and get it when others are over or gone", async () => {
  const objects = memoryObjects();
  addNode(objects, "worker", { status: { allocatable: { cpu: "2", memory: "1Gi", pods: "10" } } });
  await using _ = await start(objects);
  for (const name of ["a", "b", "c", "d"]) addPod(objects, name, {}, { cpu: "1" });
  await until(() => reasonOf(objects, "d").then((reason) => reason?.startsWith("0/1")));
  const placed = (await Promise.all(["a", "b", "c", "d"].map((name) => nodeOf(objects, name)))).filter(Boolean);
  assert.equal(placed.length, 2);
  assert.match(
    (await reasonOf(objects, "d")) ?? "",
    /1 Insufficient cpu\. preemption: 0\/1 nodes are available: 1 No preemption victims found/,
  );
  objects.put({ resource: "pods" }, { ...(await podOf(objects, "a")), status: { phase: "Succeeded" } } as object);
  await until(() => nodeOf(objects, "c"));
  objects.remove({ resource: "pods", namespace: "default", name: "b" });
  await until(() => nodeOf(objects, "d"));
});

test("room: the number of pods", async () => {
  const objects = memoryObjects();
  addNode(objects, "worker", { status: { allocatable: { cpu: "2", memory: "1Gi", pods: "1" } } });
  await using _ = await start(objects);
  addPod(objects, "a");
  await until(() => nodeOf(objects, "a"));
  addPod(objects, "b");
  assert.match((await until(() => reasonOf(objects, "b"))) ?? "", /1 Too many pods/);
});

test("room: host ports", async () => {
  const objects = memoryObjects();
  addNode(objects, "worker");
  await using _ = await start(objects);
  const ports = (hostPort: number, hostIP?: string) => ({
    containers: [{ name: "c", ports: [{ containerPort: 80, hostPort, hostIP }] }],
  });
  addPod(objects, "a", ports(8080));
  await until(() => nodeOf(objects, "a"));
  addPod(objects, "b", ports(8080, "127.0.0.1"));
  addPod(objects, "c", ports(8081));
  assert.match((await until(() => reasonOf(objects, "b"))) ?? "", /didn't have free ports for the requested pod ports/);
  await until(() => nodeOf(objects, "c"));
});

test("pods spread to the emptier node", async () => {
  const objects = memoryObjects();
  addNode(objects, "one");
  addNode(objects, "two");
  await using _ = await start(objects);
  for (const name of ["a", "b", "c", "d"]) addPod(objects, name, {}, { cpu: "100m" });
  await until(() => nodeOf(objects, "d"));
  const nodes = await Promise.all(["a", "b", "c", "d"].map((name) => nodeOf(objects, name)));
  assert.deepEqual(
    [nodes.filter((name) => name === "one").length, nodes.filter((name) => name === "two").length],
    [2, 2],
  );
});

test("tolerations and affinity open what taints and labels close", async () => {
  const objects = memoryObjects();
  addNode(objects, "tainted", {
    spec: { taints: [{ key: "gpu", value: "yes", effect: "NoSchedule" }] },
    labels: { zone: "a" },
  });
  addNode(objects, "plain", { labels: { zone: "b", cores: "8" } });
  await using _ = await start(objects);
  const affinity = (matchExpressions: object[]) => ({
    affinity: {
      nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchExpressions }] } },
    },
  });
  const zoneA = affinity([{ key: "zone", operator: "In", values: ["a"] }]);
  addPod(objects, "tolerant", { ...zoneA, tolerations: [{ key: "gpu", operator: "Exists" }] });
  addPod(objects, "intolerant", zoneA);
  addPod(objects, "many", affinity([{ key: "cores", operator: "Gt", values: ["4"] }]));
  assert.equal(await until(() => nodeOf(objects, "tolerant")), "tainted");
  assert.equal(await until(() => nodeOf(objects, "many")), "plain");
  assert.match(
    (await until(() => reasonOf(objects, "intolerant"))) ?? "",
    /1 node\(s\) didn't match .*, 1 node\(s\) had untolerated taint \{gpu: yes\}/,
  );
});

test("a pod somebody else has bound meanwhile is counted where it is", async () => {
  const objects = memoryObjects();
  addNode(objects, "worker", { status: { allocatable: { cpu: "1", memory: "1Gi", pods: "10" } } });
  const faster: MemoryObjects = {
    ...objects,
    async bind(pod, node) {
      if (pod.name !== "a") return objects.bind(pod, node);
      await objects.bind(pod, "elsewhere");
      throw new StatusError({ status: "Failure", code: 409, reason: "Conflict" });
    },
  };
  await using _ = await start(faster);
  addPod(objects, "a", {}, { cpu: "1" });
  await until(() => nodeOf(objects, "a"));
  addPod(objects, "b", {}, { cpu: "1" });
  assert.equal(await until(() => nodeOf(objects, "b")), "worker");
  assert.equal(await nodeOf(objects, "a"), "elsewhere");
});

test("a store that fails for a moment only delays", async () => {
  const objects = memoryObjects();
  addNode(objects, "worker");
  let failures = 1;
  const failing: MemoryObjects = {
    ...objects,
    async bind(pod, node) {
      if (failures-- > 0) throw new Error("disk is full");
      return objects.bind(pod, node);
    },
  };
  await using _ = await start(failing);
  addPod(objects, "a");
  await until(() => nodeOf(objects, "a"));
});
