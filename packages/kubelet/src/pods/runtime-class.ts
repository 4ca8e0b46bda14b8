import { type KubernetesObject, StatusError } from "@hawser/api";
import type { KubeletContext } from "../context.ts";
import type { BoundPod } from "./pod.ts";

/** The runtime's handler that a pod's runtimeClassName stands for; empty for the default. Throws when there is no such class. */
export async function runtimeHandler({ client }: Pick<KubeletContext, "client">, { spec }: BoundPod): Promise<string> {
  const name = spec.runtimeClassName;
  if (!name) return "";
  const ref = { apiVersion: "node.k8s.io/v1", resource: "runtimeclasses", name };
  try {
    const found = await client.get<KubernetesObject & { handler?: string }>(ref);
    return found.handler ?? "";
  } catch (cause) {
    if (cause instanceof StatusError && cause.code === 404)
      throw new Error(`RuntimeClass "${name}" not found`, { cause });
    throw cause;
  }
}
