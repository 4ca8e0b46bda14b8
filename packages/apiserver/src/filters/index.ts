import { readFile } from "node:fs/promises";
import { failure, type Pod } from "@hawser/api";
import { follow, objectKey } from "../follow.ts";
import { createBootstrapPolicy } from "../registry/rbac/bootstrap.ts";
import { refuseEscalation } from "../registry/rbac/escalation.ts";
import { rulesFor } from "../registry/rbac/evaluator.ts";
import { followPolicy } from "../registry/rbac/policy.ts";
import type { Access, AccessOptions, Attributes, UserInfo } from "../request.ts";
import { authenticate } from "./authentication.ts";
import { decide } from "./authorization.ts";
import { forbiddenError } from "./forbidden.ts";
import { impersonate } from "./impersonation.ts";
import { restrictNode } from "./node-restriction.ts";
import { serviceAccountTokens } from "./service-account.ts";
import { parseTokenFile, type TokenFile, userOfToken } from "./token-file.ts";
import { requestToken } from "./token-request.ts";

/**
 * Who is asking, and may they. Creates the bootstrap roles that are missing, then follows roles, bindings and pods until disposed.
 * Throws when the token file cannot be read or the objects cannot be listed.
 */
export async function createAccess(options: AccessOptions): Promise<Access> {
  const { objects, log } = options;
  const tokens = options.serviceAccountKey && serviceAccountTokens({ objects, keyPEM: options.serviceAccountKey });
  const file = await readTokenFile(options.tokenAuthFile);
  const stop = new AbortController();
  await createBootstrapPolicy({ objects, log });
  const pods = follow<Pod>(objects, { resource: "pods" }, { signal: stop.signal, log });
  const policy = await followPolicy({ objects, log }, stop.signal);
  await pods.synced;
  const source = {
    policy,
    pods: {
      pod: (namespace: string, name: string) => pods.items.get(objectKey(namespace, name)),
      pods: () => pods.items.values(),
    },
  };
  const authenticateToken = async (token: string) =>
    userOfToken(file, token) ?? (tokens ? tokens.verify(token) : undefined);
  const access = {
    authenticateToken,
    decide: async (user: UserInfo, attributes: Attributes) => decide(source, user, attributes),
    async authorize(user: UserInfo, attributes: Attributes) {
      const { allowed, reason } = decide(source, user, attributes);
      if (!allowed) throw forbiddenError(user, attributes, reason);
    },
  };
  return {
    ...access,
    async authenticate(request) {
      const user = await authenticate({ tokenUser: authenticateToken, log }, request);
      return impersonate(access, user, request);
    },
    async admit(user, attributes, object) {
      restrictNode(user, attributes, object);
      refuseEscalation({ policy, decide: (who, what) => decide(source, who, what) }, user, attributes, object);
    },
    async requestToken(account, request) {
      if (tokens) return requestToken(tokens, account, request);
      throw failure({ code: 501, reason: "", message: "this server signs no tokens: it was given no key" });
    },
    rules: async (user, namespace) => [...rulesFor(policy, user, namespace)],
    async [Symbol.asyncDispose]() {
      stop.abort();
      await Promise.all([pods.ended, policy.ended]);
    },
  };
}

async function readTokenFile(path: string | undefined): Promise<TokenFile> {
  return path === undefined ? new Map() : parseTokenFile(await readFile(path, "utf8"), path);
}
