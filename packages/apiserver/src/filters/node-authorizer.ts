import { allContainers, type Pod, type PodSpec } from "@hawser/api";
import { nodeRules } from "../registry/rbac/bootstrap.ts";
import { ruleAllows } from "../registry/rbac/rules.ts";
import type { Attributes, Decision, UserInfo } from "../request.ts";
import { Group } from "../users.ts";

/** What is known of pods, for the question whether a node has to do with an object. */
export interface PodSource {
  pod(namespace: string, name: string): Pod | undefined;
  pods(): Iterable<Pod>;
}

const allowed: Decision = { allowed: true, reason: "" };
const nodePrefix = "system:node:";
const leaseNamespace = "kube-node-lease";

/** The node a user is; undefined when it is none. */
export function nodeNameOf({ name, groups }: UserInfo): string | undefined {
  return name.startsWith(nodePrefix) && groups.includes(Group.nodes) ? name.slice(nodePrefix.length) : undefined;
}

/**
 * Decides for kubelets: a node may touch its own node, its own lease, the pods bound to it, and what those refer to.
 * Where the request does not name its object (create), admission checks the object: see node-restriction.ts.
 *
 * Source: kubernetes/kubernetes plugin/pkg/auth/authorizer/node/node_authorizer.go
 */
export function decideForNode(pods: PodSource, user: UserInfo, attributes: Attributes): Decision {
  const node = nodeNameOf(user);
  if (node === undefined) return denied("");
  if (node === "") return denied(`unknown node for user ${JSON.stringify(user.name)}`);
  const { isResourceRequest, apiGroup, resource } = attributes;
  if (isResourceRequest) {
    if (apiGroup === "" && resource === "pods") return decidePod(pods, node, attributes);
    if (apiGroup === "" && resource === "nodes") return decideNode(node, attributes);
    if (apiGroup === "" && resource === "secrets") return decideReferenced(pods, node, attributes, secretNames);
    if (apiGroup === "" && resource === "configmaps") return decideReferenced(pods, node, attributes, configMapNames);
    if (apiGroup === "" && resource === "serviceaccounts") return decideToken(pods, node, attributes);
    if (apiGroup === "coordination.k8s.io" && resource === "leases") return decideLease(node, attributes);
  }
  return nodeRules.some((rule) => ruleAllows(rule, attributes)) ? allowed : denied("");
}

function decideNode(node: string, { verb, name, subresource }: Attributes): Decision {
  if (subresource === "status")
    return ["update", "patch"].includes(verb) && name === node ? allowed : notItsNode(node, name);
  if (subresource !== "") return denied("");
  if (verb === "create") return allowed;
  if (["get", "list", "watch"].includes(verb)) {
    if (name === node) return allowed;
    if (name === "") return denied(`node '${node}' cannot read all nodes, only its own Node object`);
    return denied(`node '${node}' cannot read '${name}', only its own Node object`);
  }
  if (verb === "update" || verb === "patch") return name === node ? allowed : notItsNode(node, name);
  return denied("");
}

function notItsNode(node: string, name: string): Decision {
  return denied(`node ${JSON.stringify(node)} is not allowed to modify node ${JSON.stringify(name)}`);
}

function decidePod(pods: PodSource, node: string, attributes: Attributes): Decision {
  const { verb, subresource, namespace, name, fieldSelector = "" } = attributes;
  const bound = () => (pods.pod(namespace, name)?.spec?.nodeName === node ? allowed : unrelated(node));
  if (subresource === "status") {
    return verb === "update" || verb === "patch" ? bound() : denied("");
  }
  if (subresource === "eviction") return verb === "create" ? bound() : denied("");
  if (subresource !== "") return denied("");
  if (verb === "get" || verb === "delete") return bound();
  if (verb === "create") return allowed;
  if (verb !== "list" && verb !== "watch") return denied("");
  if (fieldSelector.split(",").some((part) => part.replace("==", "=") === `spec.nodeName=${node}`)) return allowed;
  return name === "" ? denied("can only list/watch pods with spec.nodeName field selector") : bound();
}

function decideLease(node: string, { verb, namespace, name }: Attributes): Decision {
  if (!["get", "create", "update", "patch", "delete"].includes(verb)) {
    return denied("can only get, create, update, patch, or delete a node lease");
  }
  if (namespace !== leaseNamespace) {
    return denied(`can only access leases in the ${JSON.stringify(leaseNamespace)} system namespace`);
  }
  if (verb !== "create" && name !== node) {
    return denied("can only access node lease with the same name as the requesting node");
  }
  return allowed;
}

function decideToken(pods: PodSource, node: string, attributes: Attributes): Decision {
  const { verb, subresource, name, namespace } = attributes;
  if (verb !== "create" || name === "") return denied("can only create tokens for individual service accounts");
  if (subresource !== "token") return denied("can only create token subresource of serviceaccount");
  return refers(pods, node, namespace, name, (spec) => [spec.serviceAccountName]) ? allowed : unrelated(node);
}

function decideReferenced(pods: PodSource, node: string, attributes: Attributes, names: NamesOf): Decision {
  const { verb, subresource, namespace, name } = attributes;
  if (!["get", "list", "watch"].includes(verb)) return denied("can only read resources of this type");
  if (subresource !== "") return denied("cannot read subresource");
  if (namespace === "") return denied("can only read namespaced object of this type");
  if (name === "") return denied("No Object name found");
  return refers(pods, node, namespace, name, names) ? allowed : unrelated(node);
}

type NamesOf = (spec: PodSpec) => Iterable<string | undefined>;

function refers(pods: PodSource, node: string, namespace: string, name: string, names: NamesOf): boolean {
  for (const { metadata, spec } of pods.pods()) {
    if (spec?.nodeName !== node || metadata?.namespace !== namespace) continue;
    for (const candidate of names(spec)) if (candidate === name) return true;
  }
  return false;
}

function* secretNames(spec: PodSpec): Generator<string | undefined> {
  for (const { name } of spec.imagePullSecrets ?? []) yield name;
  for (const { secret, projected } of spec.volumes ?? []) {
    yield secret?.secretName;
    for (const source of projected?.sources ?? []) yield source.secret?.name;
  }
  for (const { env = [], envFrom = [] } of allContainers(spec)) {
    for (const { valueFrom } of env) yield valueFrom?.secretKeyRef?.name;
    for (const { secretRef } of envFrom) yield secretRef?.name;
  }
}

function* configMapNames(spec: PodSpec): Generator<string | undefined> {
  for (const { configMap, projected } of spec.volumes ?? []) {
    yield configMap?.name;
    for (const source of projected?.sources ?? []) yield source.configMap?.name;
  }
  for (const { env = [], envFrom = [] } of allContainers(spec)) {
    for (const { valueFrom } of env) yield valueFrom?.configMapKeyRef?.name;
    for (const { configMapRef } of envFrom) yield configMapRef?.name;
  }
}

function denied(reason: string): Decision {
  return { allowed: false, reason };
}

function unrelated(node: string): Decision {
  return denied(`no relationship found between node '${node}' and this object`);
}
