// Which lists a strategic merge patch merges, and by which member of their items.
// Source: the patchStrategy and patchMergeKey tags in kubernetes/api core/v1/types.go and meta/v1/types.go
import { messageTypes } from "../schema/schema.ts";

export interface MergeRule {
  /** A list of objects: the member that tells its items apart. A list of plain values: empty. */
  key: string;
  /** The patch's $retainKeys says which members of an item stay. */
  retainKeys?: boolean;
}

const byType: Record<string, Record<string, MergeRule>> = {
  "meta.ObjectMeta": { finalizers: { key: "" }, ownerReferences: { key: "uid" } },
  "core.Container": {
    env: { key: "name" },
    ports: { key: "containerPort" },
    volumeMounts: { key: "mountPath" },
    volumeDevices: { key: "devicePath" },
  },
  "core.PodSpec": {
    containers: { key: "name" },
    initContainers: { key: "name" },
    ephemeralContainers: { key: "name" },
    volumes: { key: "name", retainKeys: true },
    imagePullSecrets: { key: "name" },
    hostAliases: { key: "ip" },
    topologySpreadConstraints: { key: "topologyKey" },
    schedulingGates: { key: "name" },
    resourceClaims: { key: "name", retainKeys: true },
  },
  "core.PodStatus": {
    conditions: { key: "type" },
    podIPs: { key: "ip" },
    hostIPs: { key: "ip" },
    resourceClaimStatuses: { key: "name", retainKeys: true },
  },
  "core.NodeSpec": { podCIDRs: { key: "" } },
  "core.NodeStatus": { conditions: { key: "type" }, addresses: { key: "type" } },
  "core.NamespaceStatus": { conditions: { key: "type" } },
  "core.ServiceSpec": { ports: { key: "port" } },
  "core.ServiceStatus": { conditions: { key: "type" } },
  "core.ServiceAccount": { secrets: { key: "name" } },
};
byType["core.EphemeralContainer"] = byType["core.Container"] ?? {};

/** How a list of a type is merged; undefined when a patch replaces it. */
export function mergeKeyOf(type: string, field: string): MergeRule | undefined {
  const rules = Object.hasOwn(byType, type) ? byType[type] : undefined;
  return rules && Object.hasOwn(rules, field) ? rules[field] : undefined;
}

/** The type of a member, or of its items; undefined for one that is no message, a map included. */
export function memberType(type: string, field: string): string | undefined {
  const found = messageTypes().get(type)?.fields.get(field);
  return found && !found.scalar && found.shape !== "map" ? found.type : undefined;
}
