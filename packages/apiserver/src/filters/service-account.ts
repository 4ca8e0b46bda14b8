import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { type KubernetesObject, rfc3339, StatusError } from "@hawser/api";
import type { Objects, UserInfo } from "../request.ts";
import { authenticated, type ServiceAccountName, serviceAccountGroups } from "../users.ts";

export const defaultIssuer = "https://kubernetes.default.svc.cluster.local";
/** Tokens live an hour when nothing else is asked for, and ten minutes at least. Seconds. */
const defaultExpiration = 3600;
const minimumExpiration = 600;
const maximumExpiration = 24 * 3600;
/** A longer token is refused unread. Bytes. */
const maxTokenLength = 16 * 1024;

export interface ServiceAccountTokens {
  /** A signed token for the account, as TokenRequest answers it. Throws StatusError NotFound when there is no such account. */
  issue(account: ServiceAccountName, options?: IssueOptions): Promise<{ token: string; expirationTimestamp: string }>;
  /** The account a token was signed for; undefined when it is not ours, not valid now, or its account is gone or another one. */
  verify(token: string, audiences?: string[]): Promise<UserInfo | undefined>;
}

export interface IssueOptions {
  audiences?: string[] | undefined;
  expirationSeconds?: number | undefined;
  boundPod?: { name: string; uid: string } | undefined;
}

export interface ServiceAccountTokensOptions {
  objects: Pick<Objects, "get">;
  /** PEM of an EC P-256 private key. */
  keyPEM: string;
  issuer?: string;
  now?: () => number;
}

interface Claims {
  aud: string[];
  exp: number;
  iat: number;
  nbf: number;
  iss: string;
  sub: string;
  "kubernetes.io": {
    namespace: string;
    serviceaccount: { name: string; uid: string };
    pod?: { name: string; uid: string };
  };
}

/**
 * Signs and verifies service account tokens: JWTs, ES256 and nothing else.
 *
 * Source: kubernetes/kubernetes pkg/serviceaccount/{claims,jwt}.go, RFC 7519, RFC 7518 section 3.4
 */
export function serviceAccountTokens(options: ServiceAccountTokensOptions): ServiceAccountTokens {
  const { objects, keyPEM, issuer = defaultIssuer, now = Date.now } = options;
  const privateKey = createPrivateKey(keyPEM);
  const publicKey = createPublicKey(privateKey);
  const header = { alg: "ES256", kid: keyID(publicKey), typ: "JWT" };
  const accountOf = ({ namespace, name }: ServiceAccountName) =>
    objects.get<KubernetesObject>({ resource: "serviceaccounts", namespace, name });

  return {
    async issue(account, { audiences = [issuer], expirationSeconds = defaultExpiration, boundPod } = {}) {
      const { metadata } = await accountOf(account);
      const issued = Math.floor(now() / 1000);
      const expires = issued + Math.min(Math.max(expirationSeconds, minimumExpiration), maximumExpiration);
      const claims: Claims = {
        aud: audiences.length > 0 ? audiences : [issuer],
        exp: expires,
        iat: issued,
        nbf: issued,
        iss: issuer,
        sub: `system:serviceaccount:${account.namespace}:${account.name}`,
        "kubernetes.io": {
          namespace: account.namespace,
          serviceaccount: { name: account.name, uid: metadata?.uid ?? "" },
          ...(boundPod && { pod: boundPod }),
        },
      };
      const signed = `${encode(header)}.${encode(claims)}`;
      const signature = sign("sha256", Buffer.from(signed), { key: privateKey, dsaEncoding: "ieee-p1363" });
      return {
        token: `${signed}.${signature.toString("base64url")}`,
        expirationTimestamp: rfc3339(expires * 1000),
      };
    },

    async verify(token, audiences = [issuer]) {
      const claims = verifiedClaims(token, publicKey);
      if (claims?.iss !== issuer || !isClaims(claims)) return undefined;
      const seconds = now() / 1000;
      if (seconds >= claims.exp || seconds < claims.nbf - 60) return undefined;
      if (!claims.aud.some((audience) => audiences.includes(audience))) return undefined;
      const { namespace, serviceaccount, pod } = claims["kubernetes.io"];
      if (!(await stillThere(() => accountOf({ namespace, name: serviceaccount.name }), serviceaccount.uid)))
        return undefined;
      if (pod && !(await stillThere(() => objects.get({ resource: "pods", namespace, name: pod.name }), pod.uid))) {
        return undefined;
      }
      return authenticated({
        name: `system:serviceaccount:${namespace}:${serviceaccount.name}`,
        uid: serviceaccount.uid,
        groups: serviceAccountGroups({ namespace }),
        ...(pod && {
          extra: {
            "authentication.kubernetes.io/pod-name": [pod.name],
            "authentication.kubernetes.io/pod-uid": [pod.uid],
          },
        }),
      });
    },
  };
}

/** A token of an account that was deleted and made again is not the new account's. */
async function stillThere(get: () => Promise<KubernetesObject>, uid: string): Promise<boolean> {
  try {
    const { metadata } = await get();
    return metadata?.uid === uid && !metadata.deletionTimestamp;
  } catch (error) {
    if (error instanceof StatusError && error.code === 404) return false;
    throw error;
  }
}

function verifiedClaims(token: string, publicKey: KeyObject): Partial<Claims> | undefined {
  if (token.length > maxTokenLength) return undefined;
  const [header, claims, signature, ...rest] = token.split(".");
  if (!header || !claims || !signature || rest.length > 0) return undefined;
  const algorithm = decode(header)?.alg;
  if (algorithm !== "ES256") return undefined;
  const key = { key: publicKey, dsaEncoding: "ieee-p1363" } as const;
  if (!verify("sha256", Buffer.from(`${header}.${claims}`), key, Buffer.from(signature, "base64url"))) return undefined;
  return decode(claims);
}

/** What we signed is of this shape; another signer with our key (an older server) may have left parts out. */
function isClaims(claims: Partial<Claims>): claims is Claims {
  const kubernetes = claims["kubernetes.io"];
  return (
    typeof claims.exp === "number" &&
    typeof claims.nbf === "number" &&
    Array.isArray(claims.aud) &&
    typeof kubernetes?.namespace === "string" &&
    typeof kubernetes.serviceaccount?.name === "string"
  );
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

function decode(part: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, "base64url").toString());
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined; // not JSON: not a token of ours
  }
}

function keyID(publicKey: KeyObject): string {
  return createHash("sha256")
    .update(publicKey.export({ format: "der", type: "spki" }))
    .digest("base64url");
}
