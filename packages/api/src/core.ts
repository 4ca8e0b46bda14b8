// The shapes of Kubernetes objects come from `kubernetes-types`: types only, erased before anything runs.
export type { Lease } from "kubernetes-types/coordination/v1.js";
export type {
  ConfigMap,
  Container,
  ContainerPort,
  ContainerState,
  ContainerStatus,
  EnvVar,
  Event,
  Namespace,
  Node,
  NodeAddress,
  NodeCondition,
  NodeStatus,
  Pod,
  PodCondition,
  PodSecurityContext,
  PodSpec,
  PodStatus,
  Probe,
  ResourceRequirements,
  Secret,
  SecurityContext,
  ServiceAccount,
  Volume,
  VolumeMount,
} from "kubernetes-types/core/v1.js";
export type { ObjectMeta, OwnerReference } from "kubernetes-types/meta/v1.js";
export type { ClusterRole, ClusterRoleBinding, Role, RoleBinding } from "kubernetes-types/rbac/v1.js";

import type { ObjectMeta } from "kubernetes-types/meta/v1.js";

/** What every stored object has. */
export interface KubernetesObject {
  apiVersion?: string;
  kind?: string;
  metadata?: ObjectMeta;
}

/** One event of a watch. A BOOKMARK's object has only kind, apiVersion and metadata. */
export type WatchEvent<T extends KubernetesObject = KubernetesObject> =
  | { type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK"; object: T }
  | { type: "ERROR"; object: import("./status.ts").Status };

export interface List<T extends KubernetesObject = KubernetesObject> {
  apiVersion: string;
  kind: string;
  metadata: { resourceVersion?: string; continue?: string; remainingItemCount?: number };
  items: T[];
}
