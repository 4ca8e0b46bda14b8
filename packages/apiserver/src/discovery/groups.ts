// What the server has, as clients ask for it.
import { reviewKinds } from "../endpoints/reviews.ts";
import type { ResourceKind } from "../registry/kind.ts";
import { kinds } from "../registry/kinds.ts";

/** One line of an APIResourceList. */
export interface APIResource {
  name: string;
  singularName: string;
  namespaced: boolean;
  group?: string;
  version?: string;
  kind: string;
  verbs: string[];
  shortNames?: string[];
  categories?: string[];
}

const allVerbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/** The order in which clients prefer the groups. */
const groupOrder = [
  "",
  "events.k8s.io",
  "authentication.k8s.io",
  "authorization.k8s.io",
  "coordination.k8s.io",
  "rbac.authorization.k8s.io",
];

export interface GroupVersion {
  group: string;
  version: string;
  resources: APIResource[];
}

function resourcesOf(kind: ResourceKind): APIResource[] {
  const main: APIResource = {
    name: kind.resource,
    singularName: kind.singular,
    namespaced: kind.namespaced,
    kind: kind.kind,
    verbs: kind.resource === "namespaces" ? allVerbs.filter((verb) => verb !== "deletecollection") : allVerbs,
    ...(kind.shortNames && { shortNames: kind.shortNames }),
    ...(kind.categories && { categories: kind.categories }),
  };
  const sub = (name: string, of: Pick<APIResource, "kind" | "verbs" | "group" | "version">): APIResource => ({
    name: `${kind.resource}/${name}`,
    singularName: "",
    namespaced: kind.namespaced,
    ...of,
  });
  const changes = Object.keys(kind.subresources ?? {}).map((name) =>
    sub(name, { kind: kind.kind, verbs: name === "finalize" ? ["update"] : ["get", "patch", "update"] }),
  );
  const actions =
    kind.resource === "pods" ? podSubresources : kind.resource === "serviceaccounts" ? tokenSubresource : [];
  return [main, ...changes, ...actions.map(([name, of]) => sub(name, of))];
}

const podSubresources: [string, Pick<APIResource, "kind" | "verbs" | "group" | "version">][] = [
  ["attach", { kind: "PodAttachOptions", verbs: ["create", "get"] }],
  ["binding", { kind: "Binding", verbs: ["create"] }],
  ["eviction", { kind: "Eviction", verbs: ["create"], group: "policy", version: "v1" }],
  ["exec", { kind: "PodExecOptions", verbs: ["create", "get"] }],
  ["log", { kind: "Pod", verbs: ["get"] }],
  ["portforward", { kind: "PodPortForwardOptions", verbs: ["create", "get"] }],
];

const tokenSubresource: typeof podSubresources = [
  ["token", { kind: "TokenRequest", verbs: ["create"], group: "authentication.k8s.io", version: "v1" }],
];

const bindings: APIResource = {
  name: "bindings",
  singularName: "binding",
  namespaced: true,
  kind: "Binding",
  verbs: ["create"],
};

function reviewResource({ resource, kind, namespaced }: (typeof reviewKinds)[number]): APIResource {
  return { name: resource, singularName: kind.toLowerCase(), namespaced, kind, verbs: ["create"] };
}

/** Every group has one version, v1. */
export const groupVersions: GroupVersion[] = groupOrder.flatMap((group) => {
  const resources = [
    ...kinds.filter((kind) => kind.group === group).flatMap(resourcesOf),
    ...reviewKinds.filter((review) => review.group === group).map(reviewResource),
    ...(group === "" ? [bindings] : []),
  ].toSorted((a, b) => (a.name < b.name ? -1 : 1));
  return resources.length > 0 ? [{ group, version: "v1", resources }] : [];
});
