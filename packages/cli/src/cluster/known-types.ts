/** A type of object, as requests and messages name it. */
export interface ResourceType {
  apiVersion: string;
  /** Plural, as in paths. */
  resource: string;
  singular: string;
  kind: string;
  namespaced: boolean;
  shortNames: readonly string[];
  categories: readonly string[];
  /** The word it was asked for by. */
  asked?: string;
}

function type(
  apiVersion: string,
  kind: string,
  resource: string,
  shortNames = "",
  options: { cluster?: boolean; all?: boolean } = {},
): ResourceType {
  return {
    apiVersion,
    kind,
    resource,
    singular: kind.toLowerCase(),
    namespaced: !options.cluster,
    shortNames: shortNames.split(" ").filter(Boolean),
    categories: options.all ? ["all"] : [],
  };
}

const cluster = { cluster: true };
const all = { all: true };

/**
 * What every cluster since Kubernetes 1.19 calls the same: known without asking for its discovery.
 * Source: kubernetes/api, and each type's registry strategy for the short names
 */
export const knownTypes: readonly ResourceType[] = [
  type("v1", "Pod", "pods", "po", all),
  type("v1", "Node", "nodes", "no", cluster),
  type("v1", "Namespace", "namespaces", "ns", cluster),
  type("v1", "Event", "events", "ev"),
  type("v1", "Service", "services", "svc", all),
  type("v1", "Endpoints", "endpoints", "ep"),
  type("v1", "ConfigMap", "configmaps", "cm"),
  type("v1", "Secret", "secrets"),
  type("v1", "ServiceAccount", "serviceaccounts", "sa"),
  type("v1", "PersistentVolume", "persistentvolumes", "pv", cluster),
  type("v1", "PersistentVolumeClaim", "persistentvolumeclaims", "pvc"),
  type("v1", "ReplicationController", "replicationcontrollers", "rc", all),
  type("v1", "ResourceQuota", "resourcequotas", "quota"),
  type("v1", "LimitRange", "limitranges", "limits"),
  type("apps/v1", "Deployment", "deployments", "deploy", all),
  type("apps/v1", "ReplicaSet", "replicasets", "rs", all),
  type("apps/v1", "StatefulSet", "statefulsets", "sts", all),
  type("apps/v1", "DaemonSet", "daemonsets", "ds", all),
  type("batch/v1", "Job", "jobs", "", all),
  type("coordination.k8s.io/v1", "Lease", "leases"),
  type("networking.k8s.io/v1", "Ingress", "ingresses", "ing"),
  type("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies", "netpol"),
  type("rbac.authorization.k8s.io/v1", "Role", "roles"),
  type("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings"),
  type("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", "", cluster),
  type("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings", "", cluster),
  type("storage.k8s.io/v1", "StorageClass", "storageclasses", "sc", cluster),
  type("certificates.k8s.io/v1", "CertificateSigningRequest", "certificatesigningrequests", "csr", cluster),
];
