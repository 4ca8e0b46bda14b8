import { forbidden, type Namespace, notFound } from "@hawser/api";
import { namespaces } from "../registry/core/namespace.ts";
import { objectKey, type ResourceKind } from "../registry/kind.ts";
import type { StoreDeps } from "../registry/store.ts";

/** Namespaces that cannot be deleted. */
const immortal = new Set(["default", "kube-system", "kube-public"]);

/**
 * Nothing new in a namespace that is not there or on its way out. Throws StatusError 404 or 403.
 *
 * Source: kubernetes/apiserver pkg/admission/plugin/namespace/lifecycle/admission.go
 */
export async function admitCreation(
  { storage, cache }: StoreDeps,
  kind: ResourceKind,
  { namespace, name }: { namespace: string; name: string },
): Promise<void> {
  if (!kind.namespaced) return;
  const stored = await storage.get(objectKey(namespaces, "", namespace));
  if (!stored) throw notFound(namespaces, namespace);
  const { metadata } = cache.decode(stored) as Namespace;
  if (metadata?.deletionTimestamp === undefined) return;
  const error = forbidden(
    kind,
    name,
    `unable to create new content in namespace ${namespace} because it is being terminated`,
  );
  error.status.details = {
    ...error.status.details,
    causes: [
      {
        reason: "NamespaceTerminating",
        message: `namespace ${namespace} is being terminated`,
        field: "metadata.namespace",
      },
    ],
  };
  throw error;
}

/** Throws StatusError 403 for a namespace the cluster cannot do without. */
export function admitDeletion(kind: ResourceKind, name: string): void {
  if (kind === namespaces && immortal.has(name)) throw forbidden(kind, name, "this namespace may not be deleted");
}
