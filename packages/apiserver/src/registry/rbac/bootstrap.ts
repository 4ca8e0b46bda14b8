import { StatusError } from "@hawser/api";
import type { Logger } from "@hawser/trace";
import type { Objects, PolicyRule } from "../../request.ts";
import { Group } from "../../users.ts";
import { type ClusterRole, type ClusterRoleBinding, rbacGroup } from "./types.ts";

const readWrite = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const write = readWrite.filter((verb) => !["get", "list", "watch"].includes(verb));
const read = ["get", "list", "watch"];
const authentication = "authentication.k8s.io";
const authorization = "authorization.k8s.io";

/** What `apps`, `batch` and the rest hold matters once the server has them; a rule on what is not there allows nothing. */
const workloads: [group: string, resources: string[]][] = [
  [
    "apps",
    [
      "daemonsets",
      "deployments",
      "deployments/scale",
      "replicasets",
      "replicasets/scale",
      "statefulsets",
      "statefulsets/scale",
    ],
  ],
  ["autoscaling", ["horizontalpodautoscalers"]],
  ["batch", ["cronjobs", "jobs"]],
  ["policy", ["poddisruptionbudgets"]],
  ["networking.k8s.io", ["ingresses", "networkpolicies"]],
];
const plain = [
  "configmaps",
  "endpoints",
  "persistentvolumeclaims",
  "pods",
  "replicationcontrollers",
  "replicationcontrollers/scale",
  "serviceaccounts",
  "services",
];
const statuses = [
  "bindings",
  "events",
  "limitranges",
  "namespaces/status",
  "pods/log",
  "pods/status",
  "resourcequotas",
  "resourcequotas/status",
  "namespaces",
];

const viewRules: PolicyRule[] = [
  on("", [...plain, ...statuses], read),
  ...workloads.map(([group, resources]) => on(group, resources, read)),
];
const editRules: PolicyRule[] = [
  on("", ["pods/attach", "pods/exec", "pods/portforward", "pods/proxy", "secrets", "services/proxy"], read),
  on("", ["serviceaccounts"], ["impersonate"]),
  on("", ["pods", "pods/attach", "pods/exec", "pods/portforward", "pods/proxy", "pods/eviction"], write),
  on(
    "",
    [
      ...plain.filter((resource) => resource !== "pods"),
      "events",
      "secrets",
      "services/proxy",
      "serviceaccounts/token",
    ],
    write,
  ),
  ...workloads.map(([group, resources]) => on(group, resources, write)),
];
const adminRules: PolicyRule[] = [
  on(authorization, ["localsubjectaccessreviews"], ["create"]),
  on(rbacGroup, ["rolebindings", "roles"], readWrite),
];
/** What a kubelet needs; the node authorizer narrows it to its own node and pods. */
export const nodeRules: PolicyRule[] = [
  on(authentication, ["tokenreviews"], ["create"]),
  on(authorization, ["localsubjectaccessreviews", "subjectaccessreviews"], ["create"]),
  on("", ["services"], read),
  on("", ["events"], ["create", "patch", "update"]),
  on("node.k8s.io", ["runtimeclasses"], read),
];

/**
 * The roles every cluster has. Names and powers are Kubernetes' own.
 *
 * Source: kubernetes/kubernetes plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go
 */
export function bootstrapRoles(): ClusterRole[] {
  const aggregated = (name: string, parts: string[], rules: PolicyRule[]) => ({
    ...role(
      name,
      rules,
      name === "view" || name === "edit" ? { [aggregateTo(name === "view" ? "edit" : "admin")]: "true" } : {},
    ),
    aggregationRule: { clusterRoleSelectors: parts.map((part) => ({ matchLabels: { [aggregateTo(part)]: "true" } })) },
  });
  return [
    role("cluster-admin", [on("*", ["*"], ["*"]), { verbs: ["*"], nonResourceURLs: ["*"] }]),
    role("system:discovery", [
      urls(
        "/api",
        "/api/*",
        "/apis",
        "/apis/*",
        "/healthz",
        "/livez",
        "/openapi",
        "/openapi/*",
        "/readyz",
        "/version",
        "/version/",
      ),
    ]),
    role("system:basic-user", [
      on(authorization, ["selfsubjectaccessreviews", "selfsubjectrulesreviews"], ["create"]),
      on(authentication, ["selfsubjectreviews"], ["create"]),
    ]),
    role("system:public-info-viewer", [urls("/healthz", "/livez", "/readyz", "/version", "/version/")]),
    role("system:monitoring", [
      urls("/healthz", "/healthz/*", "/livez", "/livez/*", "/metrics", "/readyz", "/readyz/*"),
    ]),
    aggregated("view", ["view"], viewRules),
    aggregated("edit", ["edit"], [...viewRules, ...editRules]),
    aggregated("admin", ["admin"], [...viewRules, ...editRules, ...adminRules]),
    role("system:node", nodeRules),
    role("system:kubelet-api-admin", [
      on("", ["nodes"], read),
      on("", ["nodes"], ["proxy"]),
      on(
        "",
        ["nodes/configz", "nodes/healthz", "nodes/log", "nodes/metrics", "nodes/pods", "nodes/proxy", "nodes/stats"],
        ["*"],
      ),
    ]),
    role("system:auth-delegator", [
      on(authentication, ["tokenreviews"], ["create"]),
      on(authorization, ["subjectaccessreviews"], ["create"]),
    ]),
  ];
}

export function bootstrapBindings(): ClusterRoleBinding[] {
  return [
    binding("cluster-admin", [Group.masters]),
    binding("system:basic-user", [Group.authenticated]),
    binding("system:discovery", [Group.authenticated]),
    binding("system:public-info-viewer", [Group.authenticated, Group.unauthenticated]),
    binding("system:monitoring", ["system:monitoring"]),
  ];
}

/** Creates the roles and bindings that are missing. One that is there stays as people have made it. */
export async function createBootstrapPolicy({
  objects,
  log,
}: {
  objects: Pick<Objects, "create" | "list">;
  log: Logger;
}) {
  await Promise.all([
    createMissing(objects, "clusterroles", bootstrapRoles()),
    createMissing(objects, "clusterrolebindings", bootstrapBindings()),
  ]).then((counts) =>
    log.at(2, "bootstrap policy is there", { created: counts.reduce((sum, count) => sum + count, 0) }),
  );
}

async function createMissing(
  objects: Pick<Objects, "create" | "list">,
  resource: string,
  wanted: (ClusterRole | ClusterRoleBinding)[],
) {
  const { items } = await objects.list({ group: rbacGroup, resource });
  const names = new Set(items.map(({ metadata }) => metadata?.name));
  const missing = wanted.filter(({ metadata }) => !names.has(metadata?.name));
  for (const object of missing) {
    try {
      await objects.create({ group: rbacGroup, resource }, object);
    } catch (error) {
      // Another server on the same store was faster.
      if (!(error instanceof StatusError && error.reason === "AlreadyExists")) throw error;
    }
  }
  return missing.length;
}

function on(apiGroup: string, resources: string[], verbs: string[]): PolicyRule {
  return { apiGroups: [apiGroup], resources, verbs };
}

function urls(...nonResourceURLs: string[]): PolicyRule {
  return { nonResourceURLs, verbs: ["get"] };
}

function aggregateTo(name: string): string {
  return `rbac.authorization.k8s.io/aggregate-to-${name}`;
}

function metadata(name: string, labels: Record<string, string> = {}) {
  return {
    name,
    labels: { "kubernetes.io/bootstrapping": "rbac-defaults", ...labels },
    annotations: { "rbac.authorization.kubernetes.io/autoupdate": "true" },
  };
}

function role(name: string, rules: PolicyRule[], labels: Record<string, string> = {}): ClusterRole {
  return { apiVersion: `${rbacGroup}/v1`, kind: "ClusterRole", metadata: metadata(name, labels), rules };
}

function binding(name: string, groups: string[]): ClusterRoleBinding {
  return {
    apiVersion: `${rbacGroup}/v1`,
    kind: "ClusterRoleBinding",
    metadata: metadata(name),
    roleRef: { apiGroup: rbacGroup, kind: "ClusterRole", name },
    subjects: groups.map((group) => ({ apiGroup: rbacGroup, kind: "Group", name: group })),
  };
}
