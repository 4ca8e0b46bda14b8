// Who calls the kubelet, and what they may do: asked of the API server, remembered for a short while.
import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { TLSSocket } from "node:tls";
import type { KubeClient } from "@hawser/client";
import { subjectOf } from "@hawser/pki";
import type { KubeletSettings } from "../settings.ts";
import { BoundedCache } from "./bounded-cache.ts";
import { HTTPError } from "./http-error.ts";

/** Answers remembered, each of users and of permissions. */
const cacheSize = 1000;
/** A token that nobody knows is asked about again after this, milliseconds. */
const unknownTokenTTL = 10_000;

export interface UserInfo {
  name: string;
  uid?: string;
  groups: string[];
  extra?: Record<string, string[]>;
}

/** What a request needs: verbs on nodes/<subresource>; one of the subresources is enough. */
export interface Permission {
  verb: string;
  subresources: string[];
}

export interface Gate {
  /** Throws HTTPError 401 or 403. */
  admit(request: IncomingMessage, permission: Permission): Promise<UserInfo>;
}

/**
 * Lets in who has a client certificate of the client CA, or a bearer token that the API server knows, and whom the API server
 * allows the verb on this node's subresource. Nobody is anonymous.
 *
 * Source: kubernetes pkg/kubelet/server/auth.go
 */
export function createGate({
  client,
  settings,
  now = Date.now,
}: {
  client: Pick<KubeClient, "request">;
  settings: Pick<
    KubeletSettings,
    "nodeName" | "webhookAuthorizedTTL" | "webhookUnauthorizedTTL" | "webhookAuthenticatedTTL"
  >;
  now?: () => number;
}): Gate {
  const users = new BoundedCache<UserInfo | "unknown">(cacheSize, now);
  const verdicts = new BoundedCache<{ allowed: boolean; reason: string }>(cacheSize, now);

  async function authenticate(request: IncomingMessage): Promise<UserInfo> {
    const socket = request.socket as TLSSocket;
    if (socket.authorized) {
      const { commonName, organizations } = subjectOf(socket.getPeerCertificate().subject);
      if (commonName) return { name: commonName, groups: [...organizations, "system:authenticated"] };
    }
    const token = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? "")?.[1];
    if (!token) throw new HTTPError(401, "Unauthorized");
    const key = createHash("sha256").update(token).digest("base64");
    let user = users.get(key);
    if (!user) {
      user = await review(token);
      users.set(key, user, user === "unknown" ? unknownTokenTTL : settings.webhookAuthenticatedTTL);
    }
    if (user === "unknown") throw new HTTPError(401, "Unauthorized");
    return user;
  }

  async function review(token: string): Promise<UserInfo | "unknown"> {
    const answer = (await client.request({
      method: "POST",
      repeatable: true, // a question
      path: "/apis/authentication.k8s.io/v1/tokenreviews",
      body: { apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", spec: { token } },
    })) as {
      status?: {
        authenticated?: boolean;
        user?: { username?: string; uid?: string; groups?: string[]; extra?: Record<string, string[]> };
      };
    };
    const { authenticated, user } = answer.status ?? {};
    if (!authenticated || !user?.username) return "unknown";
    const { username: name, uid, groups = [], extra } = user;
    return { name, groups, ...(uid && { uid }), ...(extra && { extra }) };
  }

  async function allowed(
    user: UserInfo,
    verb: string,
    subresource: string,
  ): Promise<{ allowed: boolean; reason: string }> {
    const key = JSON.stringify([user, verb, subresource]);
    const known = verdicts.get(key);
    if (known) return known;
    const { name, uid, groups, extra } = user;
    const resourceAttributes = { verb, version: "v1", resource: "nodes", subresource, name: settings.nodeName };
    const answer = (await client.request({
      method: "POST",
      repeatable: true, // a question
      path: "/apis/authorization.k8s.io/v1/subjectaccessreviews",
      body: {
        apiVersion: "authorization.k8s.io/v1",
        kind: "SubjectAccessReview",
        spec: { user: name, groups, ...(uid && { uid }), ...(extra && { extra }), resourceAttributes },
      },
    })) as { status?: { allowed?: boolean; reason?: string } };
    const verdict = { allowed: answer.status?.allowed === true, reason: answer.status?.reason ?? "" };
    verdicts.set(key, verdict, verdict.allowed ? settings.webhookAuthorizedTTL : settings.webhookUnauthorizedTTL);
    return verdict;
  }

  return {
    async admit(request, { verb, subresources }) {
      const user = await authenticate(request);
      for (const subresource of subresources) {
        if ((await allowed(user, verb, subresource)).allowed) return user;
      }
      const text = `Forbidden (user=${user.name}, verb=${verb}, resource=nodes, subresource(s)=[${subresources.join(" ")}])`;
      throw new HTTPError(403, text);
    },
  };
}
