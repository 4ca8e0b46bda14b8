import assert from "node:assert/strict";
import { mock, test } from "node:test";
import type { Node, Pod } from "@hawser/api";
import { silentLogger } from "@hawser/trace";
import { memoryObjects } from "../testing/memory-objects.ts";
import { turns } from "../testing/turns.ts";
import { startPodCollector } from "./pod-gc.ts";

test("pods of a node that is gone go after a while, unless it comes back", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  try {
    const objects = memoryObjects();
    const addNode = (name: string) => objects.put<Node>({ resource: "nodes" }, { metadata: { name } });
    const addPod = (name: string, nodeName?: string) =>
      objects.put<Pod>({ resource: "pods" }, {
        metadata: { name, namespace: "default" },
        spec: { nodeName, containers: [] },
      } as unknown as Pod);
    const names = async () =>
      (await objects.list({ resource: "pods" })).items.map(({ metadata }) => metadata?.name).sort();
    for (const name of ["stays", "goes", "returns"]) addNode(name);
    for (const name of ["stays", "goes", "returns"]) addPod(`on-${name}`, name);
    addPod("unbound");
    addPod("orphan", "never-was");
    await using _ = await startPodCollector({ objects, log: silentLogger });
    await turns();
    objects.remove({ resource: "nodes", name: "goes" });
    objects.remove({ resource: "nodes", name: "returns" });
    await turns();
    mock.timers.tick(39_000);
    addNode("returns");
    await turns();
    assert.equal((await names()).length, 5);
    mock.timers.tick(1_000);
    await turns();
    assert.deepEqual(await names(), ["on-returns", "on-stays", "unbound"]);
  } finally {
    mock.timers.reset();
  }
});
