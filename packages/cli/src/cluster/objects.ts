import { type KubernetesObject, StatusError } from "@hawser/api";
import type { KubeClient } from "@hawser/client";
import { CommandError } from "../errors.ts";
import type { Manifest } from "./manifests.ts";
import { findKind, type ResourceType } from "./resources.ts";

/** One object, by type, namespace and name. */
export interface ObjectRef {
  type: ResourceType;
  namespace: string | undefined;
  name: string;
}

/** Where the client finds an object, or its collection when there is no name. */
export function refOf({ type, namespace, name }: Pick<ObjectRef, "type" | "namespace"> & { name?: string }) {
  return {
    apiVersion: type.apiVersion,
    resource: type.resource,
    ...(type.namespaced && namespace && { namespace }),
    ...(name && { name }),
  };
}

/** Where a manifest's object belongs: its own namespace, which must be the one named on the command line, if one is. */
export async function placeOf(
  client: Pick<KubeClient, "request">,
  manifest: Manifest,
  { namespace, explicit }: { namespace: string; explicit: boolean },
): Promise<ObjectRef> {
  const type = await findKind(client, manifest);
  const { name = "", namespace: own } = manifest.metadata;
  if (!type.namespaced) return { type, namespace: undefined, name };
  if (explicit && own && own !== namespace) {
    throw new CommandError(
      `the namespace from the provided object ${JSON.stringify(own)} does not match the namespace ${JSON.stringify(namespace)}. You must pass '--namespace=${own}' to perform this operation.`,
    );
  }
  return { type, namespace: own ?? namespace, name };
}

/** The error of a get, for `throw`: where the namespace itself is missing, that is what is said. Source: cli-runtime pkg/resource Info.Get */
export async function whatIsMissing(
  client: Pick<KubeClient, "get">,
  { namespace, error, signal }: { namespace: string | undefined; error: unknown; signal: AbortSignal },
): Promise<unknown> {
  if (!(error instanceof StatusError) || error.code !== 404 || !namespace || namespace === "default") return error;
  try {
    await client.get({ resource: "namespaces", name: namespace }, { signal });
    return error;
  } catch (reason) {
    return reason instanceof StatusError && reason.code === 404 ? reason : error;
  }
}

/** The uid of what a delete answered: the object, or a Status about it. */
export function uidOf(answer: KubernetesObject & { details?: { uid?: string } }): string | undefined {
  return answer.metadata?.uid ?? answer.details?.uid;
}
