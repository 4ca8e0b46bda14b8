import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { it } from "node:test";
import { ContainerState, connectCRI, PodSandboxState, serveCRI } from "@hawser/cri";
import type { ContainerRecord, SandboxRecord } from "../store/records.ts";
import { listContainers, streamContainers } from "./container-list.ts";
import { listPodSandbox, streamPodSandboxes } from "./sandbox-list.ts";

const container = {
  id: "c1",
  sandboxId: "p1",
  metadata: { name: "web", attempt: 1 },
  image: { image: "i", userSpecified: "docker.io/i", annotations: { of: "image" } },
  imageId: "sha256:1",
  labels: { app: "a" },
  annotations: { note: "ä" },
  createdAt: "1790000000123456789",
  startedAt: "0",
  finishedAt: "0",
  state: "created",
} as unknown as ContainerRecord;
const sandbox = {
  id: "p1",
  metadata: { name: "web", uid: "u", namespace: "n", attempt: 0 },
  labels: { app: "a" },
  annotations: {},
  runtimeHandler: "crun",
  createdAt: "1790000000123456789",
  state: "ready",
} as unknown as SandboxRecord;

it("ListContainers and ListPodSandbox: what the streams say, which describe anew, before and after each change", async () => {
  const folder = await mkdtemp(path.join(os.tmpdir(), "hawser-lists-"));
  const known = new Map([[container.id, container]]);
  const pods = new Map([[sandbox.id, sandbox]]);
  const containers = { list: () => [...known.values()] } as never;
  const sandboxes = { list: () => [...pods.values()] } as never;
  try {
    const socketPath = path.join(folder, "cri.sock");
    await using _server = await serveCRI({
      socketPath,
      runtime: {
        version: async () => ({ runtimeName: "test" }),
        listContainers: (request) => listContainers({ containers }, request),
        streamContainers: (request) => streamContainers({ containers }, request),
        listPodSandbox: (request) => listPodSandbox({ sandboxes }, request),
        streamPodSandboxes: (request) => streamPodSandboxes({ sandboxes }, request),
      },
      images: {},
    });
    using cri = await connectCRI({ endpoint: `unix://${socketPath}` });
    const compare = async (filter: object) => {
      const listed = (await cri.runtime.listContainers({ filter })).containers;
      const parts = await Array.fromAsync(cri.runtime.streamContainers({ filter }));
      assert.deepEqual(
        listed,
        parts.flatMap((part) => part.containers),
      );
      return listed.map(({ id, state }) => [id, state]);
    };
    const { CONTAINER_CREATED, CONTAINER_RUNNING, CONTAINER_EXITED } = ContainerState;
    assert.deepEqual(await compare({}), [["c1", CONTAINER_CREATED]]);
    known.set("c1", { ...container, state: "running", startedAt: "5" });
    known.set("c2", { ...container, id: "c2", sandboxId: "p2", labels: { app: "b" }, annotations: {} });
    const both = [
      ["c1", CONTAINER_RUNNING],
      ["c2", CONTAINER_CREATED],
    ];
    for (let time = 0; time < 2; time++) assert.deepEqual(await compare({}), both);
    assert.deepEqual(await compare({ labelSelector: { app: "b" } }), both.slice(1));
    assert.deepEqual(await compare({ state: { state: CONTAINER_RUNNING } }), both.slice(0, 1));
    known.delete("c1");
    known.set("c2", { ...container, id: "c2", state: "exited" });
    assert.deepEqual(await compare({}), [["c2", CONTAINER_EXITED]]);
    known.clear();
    assert.deepEqual(await compare({}), []);

    const states = async () => {
      const { items } = await cri.runtime.listPodSandbox({});
      const parts = await Array.fromAsync(cri.runtime.streamPodSandboxes({}));
      assert.deepEqual(
        items,
        parts.flatMap((part) => part.podSandboxes),
      );
      return items.map(({ state }) => state);
    };
    assert.deepEqual(await states(), [PodSandboxState.SANDBOX_READY]);
    pods.set("p1", { ...sandbox, state: "notready" });
    assert.deepEqual(await states(), [PodSandboxState.SANDBOX_NOTREADY]);
  } finally {
    await rm(folder, { recursive: true });
  }
});
