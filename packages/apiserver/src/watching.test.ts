// The server as its clients meet it, over TLS: lists, watches, and what happens by itself.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { Event, KubernetesObject, Namespace, Pod, WatchEvent } from "@hawser/api";
import type { KubeClient, ResourceRef } from "@hawser/client";
import { Events } from "./testing/events.ts";
import { startTestServer, type TestServer } from "./testing/test-server.ts";

const pods: ResourceRef = { resource: "pods", namespace: "default" };
const pod = (name: string, spec: object = {}, metadata: object = {}): Pod => ({
  metadata: { name, ...metadata },
  spec: { containers: [{ name: "c", image: "busybox:1" }], ...spec },
});

describe("API server: reading and watching", () => {
  let test: TestServer;
  let client: KubeClient;
  before(async () => {
    test = await startTestServer();
    client = test.client;
  });
  after(() => test[Symbol.asyncDispose]());

  it("lists in pages of one moment, and by selectors", async () => {
    const ref = { resource: "configmaps", namespace: "kube-public" };
    for (const name of ["a", "b", "c"]) await client.create(ref, { metadata: { name, labels: { n: name } } });
    const first = await client.list(ref, { limit: 2 });
    assert.deepEqual(
      first.items.map(({ metadata }) => metadata?.name),
      ["a", "b"],
    );
    assert.equal(first.metadata.remainingItemCount, 1);
    await client.create(ref, { metadata: { name: "bb" } });
    const second = await client.list(ref, { limit: 2, continue: first.metadata.continue });
    assert.deepEqual(
      second.items.map(({ metadata }) => metadata?.name),
      ["c"],
      "what came later is not in it",
    );
    assert.equal(second.metadata.resourceVersion, first.metadata.resourceVersion);
    const some = await client.list(ref, { labelSelector: "n in (a,c)", limit: 1 });
    assert.deepEqual(
      some.items.map(({ metadata }) => metadata?.name),
      ["a"],
    );
    const rest = await client.list(ref, { labelSelector: "n in (a,c)", limit: 1, continue: some.metadata.continue });
    assert.deepEqual(
      rest.items.map(({ metadata }) => metadata?.name),
      ["c"],
    );
    const named = await client.list(ref, { fieldSelector: "metadata.name=bb" });
    assert.equal(named.items.length, 1);
    const then = await client.list(ref, {
      resourceVersion: first.metadata.resourceVersion,
      resourceVersionMatch: "Exact",
    });
    assert.equal(then.items.length, 3);
    await assert.rejects(client.list(ref, { fieldSelector: "spec.color=red" }), {
      code: 400,
      message: "field label not supported: spec.color",
    });
    await assert.rejects(client.list(ref, { continue: "nonsense" }), {
      code: 400,
      message: /^continue key is not valid/,
    });
    await assert.rejects(client.list(ref, { resourceVersionMatch: "Exact" }), { code: 422 });
  });

  it("watches: what comes into view is added, what leaves it deleted", async () => {
    const ref = { resource: "configmaps", namespace: "kube-node-lease" };
    const { metadata } = await client.list(ref);
    using events = new Events(client, ref, { resourceVersion: metadata.resourceVersion, labelSelector: "seen=yes" });
    const at = { ...ref, name: "w" };
    await client.create(ref, { metadata: { name: "w" } });
    await client.patch(at, { metadata: { labels: { seen: "yes" } } }, { type: "merge" });
    await client.patch(at, { metadata: { annotations: { a: "b" } } }, { type: "merge" });
    await client.patch(at, { metadata: { labels: { seen: "no" } } }, { type: "merge" });
    assert.deepEqual(await events.types(3), ["ADDED", "MODIFIED", "DELETED"]);
  });

  it("watches from the beginning: all there is, then a bookmark that says so", async () => {
    const ref = { resource: "namespaces" };
    using events = new Events(client, ref, {
      sendInitialEvents: true,
      allowWatchBookmarks: true,
      resourceVersionMatch: "NotOlderThan",
    });
    const count = (await client.list(ref)).items.length;
    assert.deepEqual(await events.types(count + 1), [...Array(count).fill("ADDED"), "BOOKMARK"]);
    assert.deepEqual(events.last?.metadata?.annotations, { "k8s.io/initial-events-end": "true" });
  });

  it("a watch ends after its timeoutSeconds", async () => {
    const seen: WatchEvent[] = [];
    for await (const event of client.watch({ resource: "nodes" }, { timeoutSeconds: 1 })) seen.push(event);
    assert.deepEqual(seen, []);
  });

  it("shows Tables", async () => {
    const accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    const table = (await client.request({ method: "GET", path: "/api/v1/namespaces", accept })) as {
      kind: string;
      columnDefinitions: { name: string }[];
      rows: { cells: unknown[]; object: KubernetesObject }[];
    };
    assert.equal(table.kind, "Table");
    assert.deepEqual(
      table.columnDefinitions.map(({ name }) => name),
      ["Name", "Status", "Age"],
    );
    assert.deepEqual(table.rows[0]?.cells.slice(0, 2), ["default", "Active"]);
    assert.equal(table.rows[0]?.object.kind, "PartialObjectMetadata");
  });

  it("empties a namespace that is deleted, then it goes", async () => {
    const name = "short-lived";
    await client.create<Namespace>({ resource: "namespaces" }, { metadata: { name } });
    await client.create({ resource: "pods", namespace: name }, pod("slow", { nodeName: "n1" }));
    await client.create({ resource: "configmaps", namespace: name }, { metadata: { name: "cm" } });
    const { metadata } = await client.list({ resource: "namespaces" });
    using events = new Events(
      client,
      { resource: "namespaces" },
      { resourceVersion: metadata.resourceVersion, fieldSelector: `metadata.name=${name}` },
    );
    const ending = await client.delete<Namespace>({ resource: "namespaces", name });
    assert.equal(ending.status?.phase, "Terminating");
    await assert.rejects(client.create({ resource: "pods", namespace: name }, pod("late")), {
      code: 403,
      message: `pods "late" is forbidden: unable to create new content in namespace ${name} because it is being terminated`,
    });
    assert.deepEqual(await events.types(1), ["MODIFIED"]);
    // The kubelet's part: the pod has ended.
    await client.delete({ resource: "pods", namespace: name, name: "slow" }, { gracePeriodSeconds: 0 });
    assert.deepEqual(await events.types(1), ["DELETED"]);
    assert.equal((await client.list({ resource: "configmaps", namespace: name })).items.length, 0);
    await assert.rejects(client.delete({ resource: "namespaces", name: "default" }), {
      code: 403,
      message: 'namespaces "default" is forbidden: this namespace may not be deleted',
    });
  });

  it("shows events under both their groups", async () => {
    const core = { resource: "events", namespace: "default" };
    const newer = { ...core, apiVersion: "events.k8s.io/v1" };
    const regarding = { kind: "Pod", namespace: "default", name: "p" };
    const eventTime = "2020-01-01T00:00:00.000000Z";
    const given = { metadata: { name: "e" }, regarding, note: "it ran", reason: "Ran", type: "Normal", eventTime };
    const made = await client.create<KubernetesObject>(newer, {
      ...given,
      reportingController: "me",
      action: "Run",
    } as object);
    assert.equal(made.apiVersion, "events.k8s.io/v1");
    const seen = await client.get<Event>({ ...core, name: "e" });
    assert.deepEqual(
      [seen.apiVersion, seen.message, seen.involvedObject, seen.reportingComponent],
      ["v1", "it ran", regarding, "me"],
    );
    const found = await client.list(newer, { fieldSelector: "regarding.name=p" });
    assert.deepEqual(
      found.items.map(({ metadata }) => metadata?.name),
      ["e"],
    );
    await client.patch<Event>({ ...newer, name: "e" }, { note: "it ran twice" }, { type: "strategic" });
    assert.equal((await client.get<Event>({ ...core, name: "e" })).message, "it ran twice");
  });

  it("has the objects again after a restart, and watches go on from before", async () => {
    await using other = await startTestServer();
    await other.client.create(pods, pod("kept"));
    const { metadata } = await other.client.list(pods);
    await other.client.create(pods, pod("after"));
    await other.restart();
    assert.equal((await other.client.get<Pod>({ ...pods, name: "kept" })).metadata?.name, "kept");
    using events = new Events(other.client, pods, { resourceVersion: metadata.resourceVersion });
    assert.deepEqual(await events.types(1), ["ADDED"]);
    assert.equal(events.last?.metadata?.name, "after");
  });

  it("ends watches when it stops", async () => {
    const other = await startTestServer();
    const events = new Events(other.client, pods, {});
    const ended = events.ended();
    await other[Symbol.asyncDispose]();
    await ended;
  });
});
