// Which lists a strategic merge patch merges, and by which member of their items.
// Source: the patchStrategy and patchMergeKey tags in kubernetes/api core/v1/types.go and meta/v1/types.go

/** How a member of an object is merged; a member that is not named merges as maps do, and lists are replaced. */
export interface MergeType {
  [member: string]: MergeRule;
}

export interface MergeRule {
  /** A list of objects: the member that tells its items apart. A list of plain values: empty. Missing: not a merged list. */
  key?: string;
  /** What it, or each of its items, is made of. */
  of?: MergeType;
  /** The patch's $retainKeys says which members stay. */
  retainKeys?: boolean;
}

const objectMeta: MergeType = { finalizers: { key: "" }, ownerReferences: { key: "uid" } };

const container: MergeType = {
  env: { key: "name" },
  ports: { key: "containerPort" },
  volumeMounts: { key: "mountPath" },
  volumeDevices: { key: "devicePath" },
};

const podSpec: MergeType = {
  containers: { key: "name", of: container },
  initContainers: { key: "name", of: container },
  ephemeralContainers: { key: "name", of: container },
  volumes: { key: "name", retainKeys: true },
  imagePullSecrets: { key: "name" },
  hostAliases: { key: "ip" },
  topologySpreadConstraints: { key: "topologyKey" },
  schedulingGates: { key: "name" },
  resourceClaims: { key: "name", retainKeys: true },
};

const conditions: MergeRule = { key: "type" };

const byKind: Record<string, MergeType> = {
  Pod: {
    spec: { of: podSpec },
    status: {
      of: { conditions, podIPs: { key: "ip" }, hostIPs: { key: "ip" }, resourceClaimStatuses: { key: "name" } },
    },
  },
  Node: {
    spec: { of: { podCIDRs: { key: "" } } },
    status: { of: { conditions, addresses: { key: "type" } } },
  },
  Namespace: { status: { of: { conditions } } },
  Service: { spec: { of: { ports: { key: "port" } } }, status: { of: { conditions } } },
  ServiceAccount: { secrets: { key: "name" } },
};

/** Of a kind as strategic merge patches see it. */
export function mergeTypeOf(kind: string): MergeType {
  return { metadata: { of: objectMeta }, ...byKind[kind] };
}
