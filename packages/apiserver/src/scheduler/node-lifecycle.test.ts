import assert from "node:assert/strict";
import { mock, test } from "node:test";
import type { Event, Lease, Node, Pod } from "@hawser/api";
import { silentLogger } from "@hawser/trace";
import { memoryObjects } from "../testing/memory-objects.ts";
import { turns } from "../testing/turns.ts";
import { startNodeLifecycle } from "./node-lifecycle.ts";

const leases = { group: "coordination.k8s.io", resource: "leases" };

test("a node whose lease is not renewed becomes Unknown, and its pods not ready; one that renews does not", async () => {
  let clock = 0;
  const now = mock.method(performance, "now", () => clock);
  mock.timers.enable({ apis: ["setTimeout"] });
  const advance = async (milliseconds: number) => {
    clock += milliseconds;
    mock.timers.tick(milliseconds);
    await turns();
  };
  try {
    const objects = memoryObjects();
    const status = {
      conditions: [
        { type: "Ready", status: "True" },
        { type: "MemoryPressure", status: "False" },
        { type: "Other", status: "True" },
      ],
    };
    for (const name of ["silent", "alive"])
      objects.put<Node>({ resource: "nodes" }, { metadata: { name }, status } as Node);
    objects.put<Node>({ resource: "nodes" }, { metadata: { name: "never" }, status: {} } as Node);
    const pod = {
      metadata: { name: "p", namespace: "default" },
      spec: { nodeName: "silent", containers: [] },
      status: { conditions: [{ type: "Ready", status: "True" }] },
    };
    objects.put<Pod>({ resource: "pods" }, pod as Pod);
    const renew = (name: string, renewTime: string) =>
      objects.put<Lease>(leases, { metadata: { name, namespace: "kube-node-lease" }, spec: { renewTime } } as Lease);
    for (const name of ["silent", "alive"]) renew(name, "0");
    await using _ = await startNodeLifecycle({ objects, log: silentLogger });
    await turns();
    await advance(30_000);
    renew("alive", "30");
    await turns();
    await advance(15_000);
    const conditions = async (name: string) =>
      ((await objects.get<Node>({ resource: "nodes", name })).status?.conditions ?? []).map(
        ({ type, status, reason }) => [type, status, reason],
      );
    assert.deepEqual(await conditions("silent"), [
      ["Ready", "Unknown", "NodeStatusUnknown"],
      ["MemoryPressure", "Unknown", "NodeStatusUnknown"],
      ["Other", "True", undefined],
    ]);
    assert.deepEqual(await conditions("never"), [["Ready", "Unknown", "NodeStatusNeverUpdated"]]);
    assert.equal((await conditions("alive"))[0]?.[1], "True");
    const marked = await objects.get<Pod>({ resource: "pods", namespace: "default", name: "p" });
    assert.equal(marked.status?.conditions?.[0]?.status, "False");
    const { items } = await objects.list<Event>({ resource: "events" });
    assert.ok(items.some(({ message }) => message === "Node silent status is now: NodeNotReady"));
    await advance(30_000);
    assert.equal((await conditions("alive"))[0]?.[1], "Unknown", "silent in the end too");
    // Back again: the kubelet writes its status and renews its lease; the watch over it starts anew.
    objects.put<Node>({ resource: "nodes" }, { metadata: { name: "silent" }, status } as Node);
    renew("silent", "75");
    await turns();
    await advance(39_000);
    assert.equal((await conditions("silent"))[0]?.[1], "True");
    await advance(2_000);
    assert.equal((await conditions("silent"))[0]?.[1], "Unknown");
  } finally {
    mock.timers.reset();
    now.mock.restore();
  }
});
