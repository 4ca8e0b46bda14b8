// Types only, erased before anything runs.
export type { ClusterRole, ClusterRoleBinding, Role, RoleBinding, Subject } from "kubernetes-types/rbac/v1.js";

export const rbacGroup = "rbac.authorization.k8s.io";
