// The table of all kinds the server has.
import { leases } from "./coordination/lease.ts";
import { events } from "./core/event.ts";
import { namespaces } from "./core/namespace.ts";
import { nodes } from "./core/node.ts";
import { configMaps, endpoints, secrets, serviceAccounts, services } from "./core/plain.ts";
import { pods } from "./core/pod/pod.ts";
import { newEvents } from "./events/event.ts";
import type { ResourceKind } from "./kind.ts";
import { clusterRoleBindings, clusterRoles, roleBindings, roles } from "./rbac/kinds.ts";

export const kinds: readonly ResourceKind[] = [
  configMaps,
  endpoints,
  events,
  namespaces,
  nodes,
  pods,
  secrets,
  serviceAccounts,
  services,
  newEvents,
  leases,
  clusterRoleBindings,
  clusterRoles,
  roleBindings,
  roles,
];

const byName = new Map(kinds.map((kind) => [nameOf(kind), kind]));

/** Undefined for a resource we do not have. A missing version means the only one. */
export function findKind({
  group = "",
  version = "v1",
  resource,
}: {
  group?: string;
  version?: string;
  resource: string;
}) {
  return byName.get(nameOf({ group, version, resource }));
}

function nameOf({ group, version, resource }: Pick<ResourceKind, "group" | "version" | "resource">): string {
  return `${group}/${version}/${resource}`;
}
