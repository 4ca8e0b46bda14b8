import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { StatusError } from "@hawser/api";
import { silentLogger } from "@hawser/trace";
import { rbacGroup } from "../registry/rbac/types.ts";
import type { Access, Attributes, UserInfo } from "../request.ts";
import { requestInfo } from "../request-info.ts";
import { memoryObjects } from "../testing/memory-objects.ts";
import { createAccess } from "./index.ts";

const objects = memoryObjects();
let access: Access;

before(async () => {
  access = await createAccess({ objects, log: silentLogger });
});
after(() => access[Symbol.asyncDispose]());

const user = (name: string, ...groups: string[]): UserInfo => ({ name, groups: [...groups, "system:authenticated"] });
const node = user("system:node:worker", "system:nodes");
const on = (method: string, path: string): Attributes => requestInfo(method, new URL(path, "https://x"));
const pods = "/api/v1/namespaces/default/pods";

async function refusal(who: UserInfo, attributes: Attributes): Promise<string> {
  const error = await access.authorize(who, attributes).then(
    () => undefined,
    (cause: StatusError) => cause,
  );
  assert.ok(error, "was allowed");
  assert.equal(error.code, 403);
  return error.message;
}

/** Roles reach the evaluator by a watch: a turn of the event loop later. */
const seen = () => new Promise((resolve) => setImmediate(resolve));

function grant(name: string, rules: object[], subjects: object[], namespace = "default") {
  const apiVersion = `${rbacGroup}/v1`;
  objects.put({ group: rbacGroup, resource: "roles" }, {
    apiVersion,
    kind: "Role",
    metadata: { name, namespace },
    rules,
  } as object);
  const roleRef = { apiGroup: rbacGroup, kind: "Role", name };
  objects.put({ group: rbacGroup, resource: "rolebindings" }, {
    apiVersion,
    kind: "RoleBinding",
    metadata: { name, namespace },
    roleRef,
    subjects,
  } as object);
  return seen();
}

function bindCluster(role: string, who: string, namespace?: string) {
  const resource = namespace ? "rolebindings" : "clusterrolebindings";
  objects.put({ group: rbacGroup, resource }, {
    metadata: { name: `${role}-${who}`, ...(namespace && { namespace }) },
    roleRef: { apiGroup: rbacGroup, kind: "ClusterRole", name: role },
    subjects: [{ kind: "User", name: who }],
  } as object);
  return seen();
}

for (const [name, method, path, message] of [
  [
    "a subresource",
    "POST",
    `${pods}/x/exec`,
    'pods "x" is forbidden: User "u" cannot create resource "pods/exec" in API group "" in the namespace "default"',
  ],
  [
    "a collection",
    "GET",
    pods,
    'pods is forbidden: User "u" cannot list resource "pods" in API group "" in the namespace "default"',
  ],
  [
    "a cluster-wide resource",
    "GET",
    "/api/v1/nodes/n",
    'nodes "n" is forbidden: User "u" cannot get resource "nodes" in API group "" at the cluster scope',
  ],
  [
    "another group",
    "DELETE",
    "/apis/apps/v1/namespaces/a/deployments/d",
    'deployments.apps "d" is forbidden: User "u" cannot delete resource "deployments" in API group "apps" in the namespace "a"',
  ],
  ["a path", "GET", "/metrics", 'forbidden: User "u" cannot get path "/metrics"'],
] as const) {
  test(`the text of a refusal: ${name}`, async () => {
    assert.equal(await refusal(user("u"), on(method, path)), message);
  });
}

test("a name that looks like HTML does not reach the text as such", async () => {
  assert.match(await refusal(user("<b>"), on("GET", pods)), /User "&lt;b&gt;" cannot/);
});

test("system:masters may everything, whatever the roles say", async () => {
  await access.authorize(user("admin", "system:masters"), on("DELETE", "/apis/x/v1/y/z"));
});

test("everybody authenticated may discover and ask what they may; health is open", async () => {
  for (const path of ["/api", "/apis", "/apis/apps/v1", "/version", "/openapi/v2", "/healthz"])
    await access.authorize(user("u"), on("GET", path));
  await access.authorize(user("u"), on("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"));
  const anonymous = { name: "system:anonymous", groups: ["system:unauthenticated"] };
  await access.authorize(anonymous, on("GET", "/livez"));
  assert.match(await refusal(anonymous, on("GET", "/api")), /system:anonymous/);
});

test("a role allows its verbs, resources and names in its namespace, to users, groups and service accounts", async () => {
  const rules = [
    { apiGroups: [""], resources: ["pods"], verbs: ["get", "list"] },
    { apiGroups: [""], resources: ["pods/exec"], resourceNames: ["web"], verbs: ["create"] },
  ];
  await grant("reader", rules, [
    { kind: "User", name: "carol" },
    { kind: "Group", name: "readers" },
    { kind: "ServiceAccount", name: "bot", namespace: "ci" },
  ]);
  for (const who of [user("carol"), user("x", "readers"), user("system:serviceaccount:ci:bot")]) {
    await access.authorize(who, on("GET", pods));
    await access.authorize(who, on("POST", `${pods}/web/exec`));
    await refusal(who, on("POST", `${pods}/db/exec`));
    await refusal(who, on("GET", `${pods}/web/exec`));
    await refusal(who, on("DELETE", `${pods}/web`));
    await refusal(who, on("GET", "/api/v1/namespaces/other/pods"));
    await refusal(who, on("GET", "/api/v1/pods"));
  }
  await refusal(user("system:serviceaccount:default:bot"), on("GET", pods));
  objects.remove({ group: rbacGroup, resource: "rolebindings", namespace: "default", name: "reader" });
  await seen();
  await refusal(user("carol"), on("GET", pods));
});

test("stars: every subresource of one name, every resource, every path below", async () => {
  await grant("stars", [{ apiGroups: ["*"], resources: ["*/status"], verbs: ["*"] }], [{ kind: "User", name: "star" }]);
  await access.authorize(user("star"), on("PATCH", `${pods}/x/status`));
  await refusal(user("star"), on("PATCH", `${pods}/x`));
  const [discovery] = [await access.decide(user("u"), on("GET", "/apis/a/b/c"))];
  assert.equal(discovery?.allowed, false, "that is a resource request, not a path");
});

test("the stock roles: view reads, edit writes and execs, admin grants", async () => {
  await bindCluster("view", "vera", "default");
  await bindCluster("edit", "ed", "default");
  await bindCluster("admin", "ada", "default");
  await access.authorize(user("vera"), on("GET", `${pods}/x/log`));
  await refusal(user("vera"), on("POST", `${pods}/x/exec`));
  await refusal(user("vera"), on("GET", "/api/v1/namespaces/default/secrets/s"));
  for (const who of ["ed", "ada"]) {
    await access.authorize(user(who), on("POST", `${pods}/x/exec`));
    await access.authorize(user(who), on("GET", `${pods}/x/exec`));
    await access.authorize(user(who), on("DELETE", `${pods}/x`));
  }
  const roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles";
  await access.authorize(user("ada"), on("POST", roles));
  await refusal(user("ed"), on("POST", roles));
  const rules = (await access.rules?.(user("vera"), "default")) ?? [];
  assert.ok(rules.some(({ resources, verbs }) => resources?.includes("pods/log") && verbs.includes("get")));
});

test("a role with the label is part of the aggregated one", async () => {
  objects.put({ group: rbacGroup, resource: "clusterroles" }, {
    metadata: { name: "widgets", labels: { "rbac.authorization.k8s.io/aggregate-to-view": "true" } },
    rules: [{ apiGroups: ["example.com"], resources: ["widgets"], verbs: ["get"] }],
  } as object);
  await bindCluster("view", "wendy", "default");
  await access.authorize(user("wendy"), on("GET", "/apis/example.com/v1/namespaces/default/widgets/w"));
});

test("a binding to a role that is not there is named", async () => {
  await bindCluster("ghost", "gus");
  assert.match(
    await refusal(user("gus"), on("GET", pods)),
    /: RBAC: clusterrole\.rbac\.authorization\.k8s\.io "ghost" not found$/,
  );
});

test("nobody grants what they do not have", async () => {
  const attributes = on("POST", "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles");
  const role = (rules: object[]) => ({ metadata: { name: "r", namespace: "default" }, rules });
  await bindCluster("admin", "ann", "default");
  await access.admit(
    user("ann"),
    attributes,
    role([{ apiGroups: [""], resources: ["pods", "pods/exec"], verbs: ["get", "create"] }]),
  );
  await assert.rejects(
    access.admit(user("ann"), attributes, role([{ apiGroups: [""], resources: ["nodes"], verbs: ["get"] }])),
    {
      message:
        'roles.rbac.authorization.k8s.io "r" is forbidden: user "ann" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[""], Resources:["nodes"], Verbs:["get"]}',
    },
  );
  const binding = on("POST", "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings");
  const bind = (name: string) => ({
    metadata: { name: "b" },
    roleRef: { apiGroup: rbacGroup, kind: "ClusterRole", name },
  });
  await access.admit(user("ann"), binding, bind("edit"));
  await assert.rejects(access.admit(user("ann"), binding, bind("cluster-admin")), /not currently held/);
  await access.admit(user("root", "system:masters"), binding, bind("cluster-admin"));
});

const bound = (name: string, nodeName: string, spec: object = {}) =>
  objects.put({ resource: "pods" }, {
    metadata: { name, namespace: "default" },
    spec: { nodeName, containers: [], ...spec },
  } as object);

test("a node reads and writes what is its own", async () => {
  bound("mine", "worker", {
    volumes: [{ name: "v", secret: { secretName: "cert" } }],
    containers: [{ name: "c", env: [{ name: "E", valueFrom: { configMapKeyRef: { name: "conf", key: "k" } } }] }],
    serviceAccountName: "builder",
  });
  bound("theirs", "other", { volumes: [{ name: "v", secret: { secretName: "foreign" } }] });
  await seen();
  const lease = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
  const allowed: [string, string][] = [
    ["GET", "/api/v1/nodes/worker"],
    ["GET", "/api/v1/nodes?fieldSelector=metadata.name%3Dworker&watch=1"],
    ["POST", "/api/v1/nodes"],
    ["PATCH", "/api/v1/nodes/worker/status"],
    ["GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dworker"],
    ["GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dworker&watch=true"],
    ["GET", `${pods}/mine`],
    ["PATCH", `${pods}/mine/status`],
    ["DELETE", `${pods}/mine`],
    ["POST", lease],
    ["PUT", `${lease}/worker`],
    ["GET", "/api/v1/namespaces/default/secrets/cert"],
    ["GET", "/api/v1/namespaces/default/configmaps/conf"],
    ["POST", "/api/v1/namespaces/default/serviceaccounts/builder/token"],
    ["POST", "/api/v1/namespaces/default/events"],
    ["POST", "/apis/authentication.k8s.io/v1/tokenreviews"],
    ["POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews"],
    ["GET", "/api/v1/services"],
  ];
  for (const [method, path] of allowed) await access.authorize(node, on(method, path));
  const denied: [string, string, RegExp][] = [
    ["GET", "/api/v1/nodes", /node 'worker' cannot read all nodes, only its own Node object$/],
    ["GET", "/api/v1/nodes/other", /node 'worker' cannot read 'other', only its own Node object$/],
    ["PATCH", "/api/v1/nodes/other/status", /is not allowed to modify node "other"$/],
    ["GET", "/api/v1/pods", /can only list\/watch pods with spec.nodeName field selector$/],
    ["GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dother", /can only list\/watch pods/],
    ["GET", `${pods}/theirs`, /no relationship found between node 'worker' and this object$/],
    ["PATCH", `${pods}/theirs/status`, /no relationship found/],
    ["DELETE", `${pods}/theirs`, /no relationship found/],
    ["POST", `${pods}/mine/exec`, /cannot create resource "pods\/exec"/],
    ["PUT", `${lease}/other`, /can only access node lease with the same name/],
    ["GET", "/api/v1/namespaces/default/secrets/foreign", /no relationship found/],
    ["GET", "/api/v1/namespaces/default/secrets", /No Object name found$/],
    ["POST", "/api/v1/namespaces/default/serviceaccounts/default/token", /no relationship found/],
    ["GET", "/api/v1/nodes/worker/proxy", /cannot get resource "nodes\/proxy"/],
  ];
  for (const [method, path, why] of denied)
    assert.match(await refusal(node, on(method, path)), why, `${method} ${path}`);
  await refusal(user("system:node:worker"), on("GET", "/api/v1/nodes/worker"));
});

test("a node creates only itself, its lease and its mirror pods", async () => {
  const nodes = on("POST", "/api/v1/nodes");
  await access.admit(node, nodes, { metadata: { name: "worker" } });
  await assert.rejects(access.admit(node, nodes, { metadata: { name: "other" } }), {
    message: 'nodes "other" is forbidden: node "worker" is not allowed to modify node "other"',
  });
  const create = on("POST", pods);
  const pod = { metadata: { name: "p" }, spec: { nodeName: "worker", containers: [] } };
  await assert.rejects(access.admit(node, create, pod), /can only create mirror pods/);
  const mirror = {
    metadata: {
      name: "p",
      annotations: { "kubernetes.io/config.mirror": "x" },
      ownerReferences: [{ apiVersion: "v1", kind: "Node", name: "worker", uid: "1", controller: true }],
    },
  };
  await access.admit(node, create, { ...pod, ...mirror });
  await assert.rejects(
    access.admit(node, create, { ...mirror, spec: { nodeName: "other" } } as object),
    /spec.nodeName set to itself/,
  );
  await access.admit(user("someone"), create, pod);
});

test("the bootstrap policy is made once and left as people change it", async () => {
  const store = memoryObjects();
  const made = await createAccess({ objects: store, log: silentLogger });
  await made[Symbol.asyncDispose]();
  const { items } = await store.list({ group: rbacGroup, resource: "clusterroles" });
  assert.ok(items.length >= 10);
  const view = await store.get({ group: rbacGroup, resource: "clusterroles", name: "view" });
  store.put({ group: rbacGroup, resource: "clusterroles" }, { ...view, rules: [] } as object);
  const again = await createAccess({ objects: store, log: silentLogger });
  await again[Symbol.asyncDispose]();
  const after = await store.get({ group: rbacGroup, resource: "clusterroles", name: "view" });
  assert.deepEqual((after as { rules?: unknown }).rules, []);
  assert.equal((await store.list({ group: rbacGroup, resource: "clusterroles" })).items.length, items.length);
});

test("after the watches have expired, new roles are found again", async () => {
  objects.expireWatches();
  await grant("late", [{ apiGroups: [""], resources: ["pods"], verbs: ["get"] }], [{ kind: "User", name: "late" }]);
  for (let turn = 0; turn < 100; turn++) {
    if ((await access.decide(user("late"), on("GET", `${pods}/x`))).allowed) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.fail("the role was not found within a second");
});
