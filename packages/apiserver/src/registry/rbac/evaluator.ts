import { matchesLabels } from "../../object-selector.ts";
import type { Attributes, Decision, PolicyRule, UserInfo } from "../../request.ts";
import { serviceAccountOf } from "../../users.ts";
import type { PolicySource } from "./policy.ts";
import { ruleAllows } from "./rules.ts";
import type { ClusterRole, RoleBinding, Subject } from "./types.ts";

/**
 * Decides by the stored roles and bindings. RBAC only allows: where no rule does, the reason is empty, or tells of
 * bindings whose role is missing.
 *
 * Source: kubernetes/kubernetes plugin/pkg/auth/authorizer/rbac/rbac.go
 */
export function decideByRoles(policy: PolicySource, user: UserInfo, attributes: Attributes): Decision {
  const missing: string[] = [];
  for (const rule of rulesFor(policy, user, attributes.namespace, (role) => missing.push(role))) {
    if (ruleAllows(rule, attributes)) return { allowed: true, reason: "" };
  }
  const unique = [...new Set(missing)];
  if (unique.length === 0) return { allowed: false, reason: "" };
  return { allowed: false, reason: `RBAC: ${unique.length === 1 ? unique[0] : `[${unique.join(", ")}]`}` };
}

/** The rules that hold for a user in a namespace; only those of the whole cluster when it is empty. */
export function* rulesFor(
  policy: PolicySource,
  user: UserInfo,
  namespace: string,
  onMissing: (why: string) => void = () => {},
): Generator<PolicyRule> {
  for (const binding of policy.clusterRoleBindings()) {
    if (applies(binding.subjects, user)) yield* rulesOf(policy, binding.roleRef, "", onMissing);
  }
  if (namespace === "") return;
  for (const binding of policy.roleBindings(namespace)) {
    if (applies(binding.subjects, user, namespace)) yield* rulesOf(policy, binding.roleRef, namespace, onMissing);
  }
}

/** The rules of the role a binding in `namespace` names. */
export function rulesOf(
  policy: PolicySource,
  { kind, name }: RoleBinding["roleRef"],
  namespace: string,
  onMissing: (why: string) => void = () => {},
): PolicyRule[] {
  if (kind === "ClusterRole") {
    const role = policy.clusterRole(name);
    if (!role) onMissing(`clusterrole.rbac.authorization.k8s.io "${name}" not found`);
    return role ? clusterRoleRules(policy, role) : [];
  }
  const role = namespace === "" ? undefined : policy.role(namespace, name);
  if (!role) onMissing(`role.rbac.authorization.k8s.io "${name}" not found`);
  return role?.rules ?? [];
}

/** An aggregated role is the sum of those its selectors find, besides its own rules. */
function clusterRoleRules(policy: PolicySource, role: ClusterRole): PolicyRule[] {
  const selectors = role.aggregationRule?.clusterRoleSelectors ?? [];
  const rules: PolicyRule[] = [...(role.rules ?? [])];
  if (selectors.length === 0) return rules;
  for (const part of policy.clusterRoles()) {
    if (part.metadata?.name === role.metadata?.name) continue;
    if (selectors.some((selector) => matchesLabels(selector, part.metadata?.labels ?? {})))
      rules.push(...(part.rules ?? []));
  }
  return rules;
}

function applies(subjects: Subject[] | undefined, user: UserInfo, bindingNamespace = ""): boolean {
  return (subjects ?? []).some(({ kind, name, namespace }) => {
    if (kind === "User") return user.name === name;
    if (kind === "Group") return user.groups.includes(name);
    if (kind !== "ServiceAccount") return false;
    const account = serviceAccountOf(user.name);
    return account?.name === name && account.namespace === (namespace || bindingNamespace);
  });
}
