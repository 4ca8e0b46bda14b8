import type { Logger } from "@hawser/trace";
import { follow, objectKey } from "../../follow.ts";
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

/** A policy source that follows the stored objects until aborted. Resolves when it knows them all. */
export async function followPolicy(
  { objects, log }: { objects: Pick<Objects, "list" | "watch">; log: Logger },
  signal: AbortSignal,
): Promise<PolicySource & { ended: Promise<void> }> {
  const byNamespace = new Map<string, Map<string, RoleBinding>>();
  const group = rbacGroup;
  const options = { signal, log };
  const clusterRoles = follow<ClusterRole>(objects, { group, resource: "clusterroles" }, options);
  const roles = follow<Role>(objects, { group, resource: "roles" }, options);
  const clusterRoleBindings = follow<ClusterRoleBinding>(objects, { group, resource: "clusterrolebindings" }, options);
  const roleBindings = follow<RoleBinding>(
    objects,
    { group, resource: "rolebindings" },
    {
      ...options,
      onChange({ type, object }) {
        const { namespace = "", name = "" } = object.metadata ?? {};
        const bindings = byNamespace.get(namespace) ?? new Map<string, RoleBinding>();
        if (type === "set") byNamespace.set(namespace, bindings.set(name, object));
        else if (bindings.delete(name) && bindings.size === 0) byNamespace.delete(namespace);
      },
    },
  );
  const followed = [clusterRoles, roles, clusterRoleBindings, roleBindings];
  await Promise.all(followed.map(({ synced }) => synced));
  return {
    clusterRole: (name) => clusterRoles.items.get(name),
    clusterRoles: () => clusterRoles.items.values(),
    role: (namespace, name) => roles.items.get(objectKey(namespace, name)),
    clusterRoleBindings: () => clusterRoleBindings.items.values(),
    roleBindings: (namespace) => byNamespace.get(namespace)?.values() ?? [],
    ended: Promise.all(followed.map(({ ended }) => ended)).then(() => {}),
  };
}
