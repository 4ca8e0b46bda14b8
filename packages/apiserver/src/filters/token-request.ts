import { badRequest, type KubernetesObject } from "@hawser/api";
import type { ServiceAccountName } from "../users.ts";
import { defaultIssuer, type ServiceAccountTokens } from "./service-account.ts";

interface TokenRequestSpec {
  audiences?: unknown;
  expirationSeconds?: unknown;
  boundObjectRef?: unknown;
}

/**
 * POST serviceaccounts/NAME/token: the request with the token as its status. Tokens may be bound to a pod, and end with it.
 * Throws StatusError 400 for what is no TokenRequest, 404 when there is no such account.
 *
 * Source: kubernetes/kubernetes pkg/registry/core/serviceaccount/storage/token.go
 */
export async function requestToken(
  tokens: Pick<ServiceAccountTokens, "issue">,
  account: ServiceAccountName,
  request: KubernetesObject & { spec?: unknown },
): Promise<KubernetesObject & { spec: object; status: object }> {
  const spec = (request.spec ?? {}) as TokenRequestSpec;
  const audiences = Array.isArray(spec.audiences) ? spec.audiences.filter((one) => typeof one === "string") : [];
  const seconds = spec.expirationSeconds ?? 3600;
  if (typeof seconds !== "number" || !Number.isInteger(seconds))
    throw badRequest("spec.expirationSeconds must be an integer");
  if (seconds < 600) throw badRequest("may not specify a duration less than 10 minutes");
  const boundPod = podOf(spec.boundObjectRef);
  const status = await tokens.issue(account, { audiences, expirationSeconds: seconds, boundPod });
  return {
    apiVersion: "authentication.k8s.io/v1",
    kind: "TokenRequest",
    metadata: { ...request.metadata, name: account.name, namespace: account.namespace },
    spec: {
      ...spec,
      audiences: audiences.length > 0 ? audiences : [defaultIssuer],
      expirationSeconds: seconds,
    },
    status,
  };
}

function podOf(reference: unknown): { name: string; uid: string } | undefined {
  if (reference === undefined || reference === null) return undefined;
  const { kind, name, uid } = reference as { kind?: unknown; name?: unknown; uid?: unknown };
  if (kind !== "Pod" || typeof name !== "string") throw badRequest("a token can be bound to a Pod only");
  if (typeof uid !== "string" || uid === "") throw badRequest("spec.boundObjectRef.uid is required");
  return { name, uid };
}
