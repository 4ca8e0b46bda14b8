// The server as its clients meet it: over TLS, by HTTP.
import assert from "node:assert/strict";
import { get as httpsGet } from "node:https";
import { after, before, describe, it } from "node:test";
import type { Event, KubernetesObject, Lease, Namespace, Node, Pod, WatchEvent } from "@hawser/api";
import type { KubeClient, ResourceRef } from "@hawser/client";
import { startTestServer, type TestServer } from "./testing/test-server.ts";

const pods: ResourceRef = { resource: "pods", namespace: "default" };
const pod = (name: string, spec: object = {}, metadata: object = {}): Pod => ({
  metadata: { name, ...metadata },
  spec: { containers: [{ name: "c", image: "busybox:1" }], ...spec },
});
const text = (value: unknown) => String(value);

describe("API server", () => {
  let test: TestServer;
  let client: KubeClient;
  before(async () => {
    test = await startTestServer();
    client = test.client;
  });
  after(() => test[Symbol.asyncDispose]());

  it("refuses who does not say who they are, before anything else", async () => {
    const { statusCode, body } = await plainGet(`${test.server.url}/api/v1/nodes`, test.server.ca.certPEM);
    assert.equal(statusCode, 401);
    assert.deepEqual(JSON.parse(body), {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message: "Unauthorized",
      reason: "Unauthorized",
      code: 401,
    });
  });

  it("gives a new pod the real server's defaults", async () => {
    const made = await client.create(pods, pod("defaults"));
    assert.match(text(made.metadata?.uid), /^[0-9a-f-]{36}$/);
    assert.match(text(made.metadata?.creationTimestamp), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    assert.deepEqual(made.spec, {
      containers: [
        {
          name: "c",
          image: "busybox:1",
          imagePullPolicy: "IfNotPresent",
          resources: {},
          terminationMessagePath: "/dev/termination-log",
          terminationMessagePolicy: "File",
        },
      ],
      dnsPolicy: "ClusterFirst",
      enableServiceLinks: true,
      preemptionPolicy: "PreemptLowerPriority",
      priority: 0,
      restartPolicy: "Always",
      schedulerName: "default-scheduler",
      securityContext: {},
      serviceAccount: "default",
      serviceAccountName: "default",
      terminationGracePeriodSeconds: 30,
      tolerations: [
        { key: "node.kubernetes.io/not-ready", operator: "Exists", effect: "NoExecute", tolerationSeconds: 300 },
        { key: "node.kubernetes.io/unreachable", operator: "Exists", effect: "NoExecute", tolerationSeconds: 300 },
      ],
    });
    assert.deepEqual(made.status, { phase: "Pending", qosClass: "BestEffort" });
  });

  it("makes up a name from generateName", async () => {
    const { metadata } = await client.create<Pod>(pods, { ...pod("x"), metadata: { generateName: "web-" } });
    assert.match(text(metadata?.name), /^web-[bcdfghjklmnpqrstvwxz2456789]{5}$/);
  });

  const refusals: { name: string; object: Pod; code: number; message: RegExp | string }[] = [
    { name: "a pod that is there", object: pod("defaults"), code: 409, message: 'pods "defaults" already exists' },
    {
      name: "a pod without containers",
      object: pod("none", { containers: [] }),
      code: 422,
      message: 'Pod "none" is invalid: spec.containers: Required value',
    },
    {
      name: "a mount of no volume",
      object: pod("mount", { containers: [{ name: "c", image: "x", volumeMounts: [{ name: "v", mountPath: "/v" }] }] }),
      code: 422,
      message: 'Pod "mount" is invalid: spec.containers[0].volumeMounts[0].name: Not found: "v"',
    },
    {
      name: "two containers of one name",
      object: pod("two", {
        containers: [
          { name: "c", image: "x" },
          { name: "c", image: "y" },
        ],
      }),
      code: 422,
      message: 'Pod "two" is invalid: spec.containers[1].name: Duplicate value: "c"',
    },
    {
      name: "more asked for than allowed",
      object: pod("much", {
        containers: [{ name: "c", image: "x", resources: { requests: { cpu: 2 }, limits: { cpu: 1 } } }],
      }),
      code: 422,
      message:
        'Pod "much" is invalid: spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1',
    },
    {
      name: "no name",
      object: { ...pod(""), metadata: {} },
      code: 422,
      message: 'Pod "" is invalid: metadata.name: Required value: name or generateName is required',
    },
    {
      name: "another namespace than the path's",
      object: pod("ns", {}, { namespace: "kube-system" }),
      code: 400,
      message: "the namespace of the provided object does not match the namespace sent on the request",
    },
    {
      name: "a resourceVersion",
      object: pod("rv", {}, { resourceVersion: "1" }),
      code: 500,
      message: "resourceVersion should not be set on objects to be created",
    },
  ];
  for (const { name, object, code, message } of refusals) {
    it(`refuses to create: ${name}`, async () => {
      await assert.rejects(client.create(pods, object), { name: "StatusError", code, message });
    });
  }

  it("knows no resource, object or namespace that is not there", async () => {
    await assert.rejects(client.get({ ...pods, name: "nope" }), { code: 404, message: 'pods "nope" not found' });
    await assert.rejects(client.create({ ...pods, namespace: "nope" }, pod("a")), {
      code: 404,
      message: 'namespaces "nope" not found',
    });
    await assert.rejects(client.list({ resource: "things" }), { code: 404 });
    await assert.rejects(client.request({ method: "POST", path: "/api/v1/pods", body: {} }), { code: 404 });
    for (const path of ["/api/v1/namespaces//pods/default%2Fdefaults", "/api/v1/namespaces/default%2Fdefaults/pods"]) {
      await assert.rejects(
        client.request({ method: "GET", path }),
        { name: "StatusError" },
        "no way around the namespace",
      );
    }
    await assert.rejects(client.request({ method: "PUT", path: "/api/v1/namespaces/default/pods", body: {} }), {
      code: 405,
    });
  });

  it("refuses what is overtaken, and lets a patch that names no version through", async () => {
    const made = await client.create(pods, pod("race"));
    const labelled = await client.patch<Pod>(
      { ...pods, name: "race" },
      { metadata: { labels: { a: "b" } } },
      { type: "merge" },
    );
    assert.deepEqual(labelled.metadata?.labels, { a: "b" });
    await assert.rejects(client.update({ ...pods, name: "race" }, made), {
      code: 409,
      message:
        'Operation cannot be fulfilled on pods "race": the object has been modified; please apply your changes to the latest version and try again',
    });
  });

  it("a write that changes nothing makes no new version", async () => {
    const made = await client.create(pods, pod("still"));
    const { metadata, ...rest } = made;
    const again = await client.update<Pod>({ ...pods, name: "still" }, { metadata: { ...metadata }, ...rest } as Pod);
    assert.equal(again.metadata?.resourceVersion, made.metadata?.resourceVersion);
  });

  it("lets a pod's image change, and hardly anything else", async () => {
    await client.create(pods, pod("fixed"));
    const image = { spec: { containers: [{ name: "c", image: "busybox:2" }] } };
    const changed = await client.patch<Pod>({ ...pods, name: "fixed" }, image, { type: "strategic" });
    assert.equal(changed.spec?.containers[0]?.image, "busybox:2");
    const command = { spec: { containers: [{ name: "c", command: ["x"] }] } };
    await assert.rejects(client.patch({ ...pods, name: "fixed" }, command, { type: "strategic" }), {
      code: 422,
      message:
        /^Pod "fixed" is invalid: spec: Forbidden: pod updates may not change fields other than `spec.containers\[\*\].image`,/,
    });
  });

  it("keeps status and the rest apart", async () => {
    await client.create(pods, pod("parts"));
    const ref = { ...pods, name: "parts" };
    const running = { status: { phase: "Running" }, spec: { nodeName: "sneaky" } };
    const updated = await client.patch<Pod>({ ...ref, subresource: "status" }, running, { type: "merge" });
    assert.equal(updated.status?.phase, "Running");
    assert.equal(updated.spec?.nodeName, undefined);
    const main = await client.patch<Pod>(ref, { status: { phase: "Failed" } }, { type: "merge" });
    assert.equal(main.status?.phase, "Running");
  });

  it("tells unknown fields: strictly, as a warning, or not at all", async () => {
    const odd = { ...pod("odd"), spec: { containers: [{ name: "c", image: "x", imagee: "y" }] } } as unknown as Pod;
    const options = { dryRun: "All" } as const;
    await assert.rejects(client.create(pods, odd, { ...options, fieldValidation: "Strict" }), {
      code: 400,
      message:
        'Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field "spec.containers[0].imagee"',
    });
    const kept = await client.create(pods, odd, { ...options, fieldValidation: "Ignore" });
    assert.equal(JSON.stringify(kept).includes("imagee"), false);
    await assert.rejects(client.get({ ...pods, name: "odd" }), { code: 404 });
  });

  it("takes YAML, and refuses what it cannot read", async () => {
    const path = "/api/v1/namespaces/default/pods";
    const yaml = "kind: Pod\nmetadata: {name: yaml}\nspec: {containers: [{name: c, image: x}]}\n";
    const made = (await client.request({ method: "POST", path, body: yaml, contentType: "application/yaml" })) as Pod;
    assert.equal(made.metadata?.name, "yaml");
    const post = (body: string, contentType = "application/json") =>
      client.request({ method: "POST", path, body, contentType });
    await assert.rejects(post("{"), { code: 400 });
    await assert.rejects(post("[]"), { code: 400 });
    await assert.rejects(post("<pod/>", "application/xml"), { code: 415 });
    await assert.rejects(post('{"kind":"Node"}'), { code: 400 });
    await assert.rejects(post('{"apiVersion":"v2"}'), { code: 400 });
    await assert.rejects(post(`{"metadata":{"name":"${"x".repeat(3 * 1024 * 1024)}"}}`), { code: 413 });
    await assert.rejects(post('{"spec":{"containers":null},"metadata":null}'), { code: 422 });
  });

  it("a pod with a node is asked to end first; one without goes at once", async () => {
    await client.create(pods, pod("floating"));
    await client.delete({ ...pods, name: "floating" });
    await assert.rejects(client.get({ ...pods, name: "floating" }), { code: 404 });

    const made = await client.create(pods, pod("assigned", { nodeName: "n1" }));
    const ref = { ...pods, name: "assigned" };
    const ending = await client.delete<Pod>(ref);
    assert.equal(ending.metadata?.deletionGracePeriodSeconds, 30);
    const later = await client.delete<Pod>(ref, { gracePeriodSeconds: 60 });
    assert.equal(later.metadata?.deletionGracePeriodSeconds, 30, "it cannot be put off");
    const sooner = await client.delete<Pod>(ref, { gracePeriodSeconds: 5 });
    assert.equal(sooner.metadata?.deletionGracePeriodSeconds, 5);
    await assert.rejects(client.delete(ref, { gracePeriodSeconds: 0, preconditions: { uid: "other" } }), {
      code: 409,
      message: `Operation cannot be fulfilled on Pod "assigned": the UID in the precondition (other) does not match the UID in record (${made.metadata?.uid}). The object might have been deleted and then recreated`,
    });
    await client.delete(ref, { gracePeriodSeconds: 0, preconditions: { uid: made.metadata?.uid ?? "" } });
    await assert.rejects(client.get(ref), { code: 404 });
  });

  it("finalizers hold an object until the last one goes", async () => {
    const ref = { resource: "configmaps", namespace: "default", name: "held" };
    await client.create({ ...ref, name: "" }, { metadata: { name: "held", finalizers: ["example.com/a"] } });
    await client.delete(ref);
    const held = await client.get(ref);
    assert.ok(held.metadata?.deletionTimestamp);
    await assert.rejects(
      client.patch(ref, { metadata: { finalizers: ["example.com/a", "example.com/b"] } }, { type: "merge" }),
      { code: 422, message: /no new finalizers can be added if the object is being deleted/ },
    );
    await client.patch(ref, { metadata: { finalizers: null } }, { type: "merge" });
    await assert.rejects(client.get(ref), { code: 404 });
  });

  it("deletes a selected collection", async () => {
    for (const [name, group] of [
      ["c1", "x"],
      ["c2", "x"],
      ["c3", "y"],
    ]) {
      await client.create(pods, pod(name ?? "", {}, { labels: { group } }));
    }
    await client.request({
      method: "DELETE",
      path: "/api/v1/namespaces/default/pods",
      query: { labelSelector: "group=x" },
    });
    const { items } = await client.list<Pod>(pods, { labelSelector: "group" });
    assert.deepEqual(
      items.map(({ metadata }) => metadata?.name),
      ["c3"],
    );
  });

  it("binds a pod once", async () => {
    await client.create(pods, pod("bound"));
    const binding = { metadata: { name: "bound" }, target: { kind: "Node", name: "n1" } };
    const path = "/api/v1/namespaces/default/pods/bound/binding";
    await client.request({ method: "POST", path, body: binding });
    const bound = await client.get<Pod>({ ...pods, name: "bound" });
    assert.equal(bound.spec?.nodeName, "n1");
    assert.equal(bound.status?.conditions?.find(({ type }) => type === "PodScheduled")?.status, "True");
    await assert.rejects(client.request({ method: "POST", path, body: binding }), {
      code: 409,
      message: 'Operation cannot be fulfilled on pods/binding "bound": pod bound is already assigned to node "n1"',
    });
  });

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

  it("PUT makes a lease that is not there", async () => {
    const ref = { apiVersion: "coordination.k8s.io/v1", resource: "leases", namespace: "kube-node-lease", name: "n1" };
    const lease: Lease = { metadata: { name: "n1" }, spec: { holderIdentity: "n1", leaseDurationSeconds: 40 } };
    const made = await client.update(ref, lease);
    assert.ok(made.metadata?.uid);
    await assert.rejects(client.update(ref, { ...lease, spec: { leaseDurationSeconds: 0 } }), {
      code: 422,
      message:
        'Lease.coordination.k8s.io "n1" is invalid: spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0',
    });
    await assert.rejects(client.update({ resource: "nodes", name: "n9" }, { metadata: { name: "n9" } } as Node), {
      code: 404,
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

  it("refuses a second server on the same data", async () => {
    const { startApiserver } = await import("./server.ts");
    await assert.rejects(startApiserver({ dataDir: test.dataDir, port: 0 }), /database is locked/);
    await assert.rejects(
      startApiserver({ dataDir: test.dataDir, datastore: "etcd://127.0.0.1:2379" }),
      /not supported yet/,
    );
  });
});

/** The events of a watch, one after the other. */
class Events implements Disposable {
  readonly #stop = new AbortController();
  readonly #events: AsyncIterator<WatchEvent>;
  last: KubernetesObject | undefined;

  constructor(client: KubeClient, ref: ResourceRef, options: object) {
    this.#events = client.watch(ref, { ...options, signal: this.#stop.signal })[Symbol.asyncIterator]();
  }

  async types(count: number): Promise<string[]> {
    const types: string[] = [];
    while (types.length < count) {
      const { done, value } = await this.#events.next();
      if (done) return [...types, "end"];
      types.push(value.type);
      if (value.type !== "ERROR") this.last = value.object;
    }
    return types;
  }

  async ended(): Promise<void> {
    try {
      while (!(await this.#events.next()).done);
    } catch {
      // A connection that is cut ends it as well.
    }
  }

  [Symbol.dispose](): void {
    this.#stop.abort();
  }
}

function plainGet(url: string, ca: string): Promise<{ statusCode: number | undefined; body: string }> {
  return new Promise((resolve, reject) => {
    httpsGet(url, { ca, agent: false }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        body += chunk;
      });
      response.on("end", () => resolve({ statusCode: response.statusCode, body }));
    }).on("error", reject);
  });
}
