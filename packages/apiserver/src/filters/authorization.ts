import { decideByRoles } from "../registry/rbac/evaluator.ts";
import type { PolicySource } from "../registry/rbac/policy.ts";
import type { Attributes, Decision, UserInfo } from "../request.ts";
import { Group } from "../users.ts";
import { decideForNode, type PodSource } from "./node-authorizer.ts";

/**
 * The authorizers in their order: the group system:masters may do everything, then a node what its node and pods need,
 * then the stored roles. The reasons of all that said no are joined.
 *
 * Source: kubernetes/apiserver pkg/authorization/{authorizerfactory/builtin,union/union}.go
 */
export function decide(
  { policy, pods }: { policy: PolicySource; pods: PodSource },
  user: UserInfo,
  attributes: Attributes,
): Decision {
  if (user.groups.includes(Group.masters)) return { allowed: true, reason: "" };
  const node = decideForNode(pods, user, attributes);
  if (node.allowed) return node;
  const roles = decideByRoles(policy, user, attributes);
  if (roles.allowed) return roles;
  return { allowed: false, reason: [node.reason, roles.reason].filter((reason) => reason !== "").join("\n") };
}
