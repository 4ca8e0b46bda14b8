import { forbidden, type KubernetesObject } from "@hawser/api";
import type { Attributes, Decision, PolicyRule, UserInfo } from "../../request.ts";
import { rulesFor, rulesOf } from "./evaluator.ts";
import type { PolicySource } from "./policy.ts";
import { covers } from "./rules.ts";
import { type Role, type RoleBinding, rbacGroup } from "./types.ts";

const kinds = new Set(["roles", "clusterroles", "rolebindings", "clusterrolebindings"]);

export interface EscalationCheck {
  policy: PolicySource;
  decide(user: UserInfo, attributes: Attributes): Decision;
}

/**
 * Refuses a role or a binding that would hand out more than its writer has, unless they may `escalate` roles or `bind` that role.
 * Does nothing for other objects. Throws StatusError 403 that lists what is missing.
 *
 * Source: kubernetes/kubernetes pkg/registry/rbac/{role,rolebinding}/policybased/storage.go
 */
export function refuseEscalation(
  { policy, decide }: EscalationCheck,
  user: UserInfo,
  attributes: Attributes,
  object: KubernetesObject,
): void {
  const { apiGroup, resource, namespace } = attributes;
  if (apiGroup !== rbacGroup || !kinds.has(resource)) return;
  const name = object.metadata?.name ?? attributes.name;
  const isBinding = resource.endsWith("bindings");
  // The registry stores by resource: a role under `roles`, a binding under `rolebindings`.
  const { roleRef } = object as Partial<RoleBinding>;
  if (isBinding && !roleRef) return; // validation refuses it
  const asked: Attributes = isBinding
    ? {
        ...attributes,
        verb: "bind",
        resource: roleRef?.kind === "ClusterRole" ? "clusterroles" : "roles",
        name: roleRef?.name ?? "",
      }
    : { ...attributes, verb: "escalate", name };
  if (decide(user, asked).allowed) return;
  const wanted = isBinding && roleRef ? rulesOf(policy, roleRef, namespace) : ((object as Partial<Role>).rules ?? []);
  const owned = [...rulesFor(policy, user, namespace)];
  const missing = wanted.filter((rule) => !covers(owned, rule));
  if (missing.length === 0) return;
  const who = `user ${JSON.stringify(user.name)} (groups=${list(user.groups)})`;
  const what = `${who} is attempting to grant RBAC permissions not currently held:\n${missing.map(describe).join("\n")}`;
  throw forbidden({ group: apiGroup, resource }, name, what);
}

function describe({ apiGroups, resources, resourceNames, nonResourceURLs, verbs }: PolicyRule): string {
  const parts = Object.entries({
    APIGroups: apiGroups,
    Resources: resources,
    ResourceNames: resourceNames,
    NonResourceURLs: nonResourceURLs,
    Verbs: verbs,
  });
  return `{${parts.flatMap(([key, values]) => (values?.length ? [`${key}:${list(values)}`] : [])).join(", ")}}`;
}

/** As Go prints a list of strings with %q. */
function list(values: string[]): string {
  return `[${values.map((value) => JSON.stringify(value)).join(" ")}]`;
}
