// The server as its clients meet it, over TLS: what they write, and what it refuses.
import assert from "node:assert/strict";
import { get as httpsGet } from "node:https";
import { after, before, describe, it } from "node:test";
import type { Lease, Node, Pod } from "@hawser/api";
import type { KubeClient, ResourceRef } from "@hawser/client";
import { startTestServer, type TestServer } from "./testing/test-server.ts";

const pods: ResourceRef = { resource: "pods", namespace: "default" };
const pod = (name: string, spec: object = {}, metadata: object = {}): Pod => ({
  metadata: { name, ...metadata },
  spec: { containers: [{ name: "c", image: "busybox:1" }], ...spec },
});
const text = (value: unknown) => String(value);

describe("API server: writing", () => {
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

  it("shows its metrics to those who may get that path, and to nobody else", async () => {
    const url = `${test.server.url}/metrics`;
    assert.equal((await plainGet(url, test.server.ca.certPEM)).statusCode, 401);
    const asked = async (token: string) => plainGet(url, test.server.ca.certPEM, { Authorization: `Bearer ${token}` });
    const tokenOf = async (name: string) => {
      await client.create({ resource: "serviceaccounts", namespace: "default" }, { metadata: { name } });
      const path = `/api/v1/namespaces/default/serviceaccounts/${name}/token`;
      const body = { kind: "TokenRequest", apiVersion: "authentication.k8s.io/v1", spec: {} };
      return ((await client.request({ method: "POST", path, body })) as { status: { token: string } }).status.token;
    };
    const token = await tokenOf("prometheus");
    const refused = await asked(token);
    assert.equal(refused.statusCode, 403);
    assert.match(refused.body, /system:serviceaccount:default:prometheus\\" cannot get path \\"\/metrics/);
    const bindings = { apiVersion: "rbac.authorization.k8s.io/v1", resource: "clusterrolebindings" };
    await client.create(bindings, {
      metadata: { name: "prometheus" },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "system:monitoring" },
      subjects: [{ kind: "ServiceAccount", name: "prometheus", namespace: "default" }],
    });
    const { statusCode, body, type } = await asked(token);
    assert.deepEqual([statusCode, type], [200, "text/plain; version=0.0.4; charset=utf-8"]);
    assert.match(body, /^hawser_apiserver_operations_total\{operation="create"\} \d+$/m);
  });

  it("says how long it keeps an idle connection, so that clients close theirs before", async () => {
    const { keepAlive } = await plainGet(`${test.server.url}/version`, test.server.ca.certPEM, {
      Connection: "keep-alive",
    });
    assert.equal(keepAlive, "timeout=90");
  });

  it("takes a request line as long as a long command makes it", async () => {
    const path = `/api/v1/namespaces/default/pods/web/exec?command=${"x".repeat(500_000)}`;
    assert.equal((await plainGet(`${test.server.url}${path}`, test.server.ca.certPEM)).statusCode, 401);
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

  it("refuses a patch that is nested too deeply, of either merging kind", async () => {
    await client.create(pods, pod("deep"));
    const body = `${'{"a":'.repeat(200_000)}1${"}".repeat(200_000)}`;
    for (const kind of ["merge-patch", "strategic-merge-patch"]) {
      const path = "/api/v1/namespaces/default/pods/deep";
      await assert.rejects(client.request({ method: "PATCH", path, body, contentType: `application/${kind}+json` }), {
        code: 400,
        message: "error decoding patch: exceeded max depth",
      });
    }
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

  it("refuses a second server on the same data", async () => {
    const { startApiserver } = await import("./server.ts");
    await assert.rejects(startApiserver({ dataDir: test.dataDir, port: 0 }), /database is locked/);
    await assert.rejects(
      startApiserver({ dataDir: test.dataDir, datastore: "etcd://127.0.0.1:2379" }),
      /not supported yet/,
    );
  });
});

function plainGet(
  url: string,
  ca: string,
  headers: Record<string, string> = {},
): Promise<{
  statusCode: number | undefined;
  type: string | undefined;
  keepAlive: string | string[] | undefined;
  body: string;
}> {
  return new Promise((resolve, reject) => {
    httpsGet(url, { ca, agent: false, headers }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        body += chunk;
      });
      response.on("end", () => {
        const { "content-type": type, "keep-alive": keepAlive } = response.headers;
        resolve({ statusCode: response.statusCode, type, keepAlive, body });
      });
    }).on("error", reject);
  });
}
