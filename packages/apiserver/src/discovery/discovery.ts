import { createHash } from "node:crypto";
import { negotiate, type Representation } from "../http/negotiate.ts";
import { type Answer, jsonAnswer } from "../http/respond.ts";
import { type APIResource, type GroupVersion, groupVersions } from "./groups.ts";

/**
 * Answers `/api`, `/apis` and what is below them down to a group's version; undefined for other paths.
 * `/api` and `/apis` give everything at once to those who ask for the aggregated form.
 *
 * Source: kubernetes/apiserver pkg/endpoints/discovery, pkg/endpoints/discovery/aggregated
 */
export function discovery(
  path: string,
  headers: { accept?: string | undefined; "if-none-match"?: string | undefined },
): Answer | undefined {
  const parts = path.split("/").filter((part) => part !== "");
  const [prefix, first, second] = parts;
  if (prefix === "api") {
    if (parts.length === 1) return root("api", headers);
    const core = parts.length === 2 ? findGroup("", first) : undefined;
    return core && jsonAnswer(resourceList(core));
  }
  if (prefix !== "apis") return undefined;
  if (parts.length === 1) return root("apis", headers);
  const group = groupVersions.find((one) => one.group === first && first !== "");
  if (!group) return undefined;
  if (parts.length === 2) return jsonAnswer({ kind: "APIGroup", apiVersion: "v1", ...groupEntry(group) });
  const version = parts.length === 3 ? findGroup(group.group, second) : undefined;
  return version && jsonAnswer(resourceList(version));
}

function findGroup(group: string, version: string | undefined): GroupVersion | undefined {
  return groupVersions.find((one) => one.group === group && one.version === version);
}

function root(
  prefix: "api" | "apis",
  headers: { accept?: string | undefined; "if-none-match"?: string | undefined },
): Answer {
  const groups = groupVersions.filter(({ group }) => (group === "") === (prefix === "api"));
  const representation = negotiate(headers.accept, isDiscoveryForm);
  const { as } = representation;
  if (!as) return jsonAnswer(prefix === "api" ? legacyVersions() : legacyGroups(groups));
  const aggregated = {
    kind: "APIGroupDiscoveryList",
    apiVersion: `apidiscovery.k8s.io/${as.version}`,
    metadata: {},
    items: groups.map(aggregatedGroup),
  };
  const answer = jsonAnswer(
    aggregated,
    200,
    `application/json;g=apidiscovery.k8s.io;v=${as.version};as=APIGroupDiscoveryList`,
  );
  const etag = `"${createHash("sha256").update(answer.body).digest("hex").toUpperCase()}"`;
  const tagged = { ETag: etag, Vary: "Accept", "Cache-Control": "public" };
  if (headers["if-none-match"] === etag) return { ...answer, code: 304, body: "", headers: tagged };
  return { ...answer, headers: tagged };
}

function isDiscoveryForm({ as, parameters }: Representation): boolean {
  if (!as) return true;
  return (
    as.kind === "APIGroupDiscoveryList" &&
    parameters.g === "apidiscovery.k8s.io" &&
    ["v2", "v2beta1"].includes(as.version)
  );
}

function legacyVersions() {
  return { kind: "APIVersions", versions: ["v1"], serverAddressByClientCIDRs: [] };
}

function legacyGroups(groups: GroupVersion[]) {
  return { kind: "APIGroupList", apiVersion: "v1", groups: groups.map(groupEntry) };
}

function groupEntry({ group, version }: GroupVersion) {
  const entry = { groupVersion: `${group}/${version}`, version };
  return { name: group, versions: [entry], preferredVersion: entry };
}

function resourceList({ group, version, resources }: GroupVersion) {
  return {
    kind: "APIResourceList",
    apiVersion: "v1",
    groupVersion: group ? `${group}/${version}` : version,
    resources,
  };
}

function aggregatedGroup({ group, version, resources }: GroupVersion) {
  const main = resources.filter(({ name }) => !name.includes("/"));
  return {
    metadata: { name: group, creationTimestamp: null },
    versions: [
      {
        version,
        freshness: "Current",
        resources: main.map((resource) => ({
          resource: resource.name,
          responseKind: { group, version, kind: resource.kind },
          scope: resource.namespaced ? "Namespaced" : "Cluster",
          singularResource: resource.singularName,
          verbs: resource.verbs,
          ...(resource.shortNames && { shortNames: resource.shortNames }),
          ...(resource.categories && { categories: resource.categories }),
          ...subresourcesOf({ group, version, resources }, resource),
        })),
      },
    ],
  };
}

function subresourcesOf({ group, version, resources }: GroupVersion, { name }: APIResource) {
  const below = resources.filter((one) => one.name.startsWith(`${name}/`));
  if (below.length === 0) return {};
  return {
    subresources: below.map((one) => ({
      subresource: one.name.slice(name.length + 1),
      responseKind: { group: one.group ?? group, version: one.version ?? version, kind: one.kind },
      verbs: one.verbs,
    })),
  };
}
