import type { KubernetesObject } from "@hawser/api";
import type { Logger } from "@hawser/trace";
import { follow } from "../../proxy/follow.ts";
import type { Objects } from "../../request.ts";
import { type ClusterRole, type ClusterRoleBinding, type Role, type RoleBinding, rbacGroup } from "./types.ts";

/** Where the evaluator finds roles and bindings. Look-ups are synchronous: each request makes several. */
export interface PolicySource {
  clusterRole(name: string): ClusterRole | undefined;
  clusterRoles(): Iterable<ClusterRole>;
  role(namespace: string, name: string): Role | undefined;
  clusterRoleBindings(): Iterable<ClusterRoleBinding>;
  roleBindings(namespace: string): Iterable<RoleBinding>;
}
