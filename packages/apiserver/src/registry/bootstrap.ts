import { type KubernetesObject, StatusError } from "@hawser/api";
import { namespaces } from "./core/namespace.ts";
import { serviceAccounts } from "./core/plain.ts";
import type { ResourceKind } from "./kind.ts";
import { createObject, type StoreDeps } from "./store.ts";

const systemNamespaces = ["default", "kube-system", "kube-public", "kube-node-lease"];

/** What every cluster has from its first start. */
export async function createSystemObjects(store: StoreDeps): Promise<void> {
  for (const name of systemNamespaces) {
    await ensure(store, namespaces, "", { metadata: { name } });
    await ensureServiceAccount(store, name);
  }
}

/** Pods of a namespace run as its `default` service account. */
export async function ensureServiceAccount(store: StoreDeps, namespace: string): Promise<void> {
  await ensure(store, serviceAccounts, namespace, { metadata: { name: "default" } });
}

async function ensure(
  store: StoreDeps,
  kind: ResourceKind,
  namespace: string,
  object: KubernetesObject,
): Promise<void> {
  try {
    await createObject(store, kind, object, { namespace });
  } catch (error) {
    if (!(error instanceof StatusError && error.reason === "AlreadyExists")) throw error;
  }
}
