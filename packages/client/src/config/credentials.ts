import type { ConnectionOptions } from "node:tls";
import type { ExecCredential, ExecSource } from "./exec-plugin.ts";
import { type Cluster, KubeconfigError, type User } from "./file.ts";

/** Thrown when we cannot say who we are: a token file unreadable, a credential plugin failing. */
export class CredentialError extends Error {
  override readonly name = "CredentialError";
}

/** Milliseconds a token read from a file is used before it is read again. Source: client-go transport/token_source.go */
const tokenFileMs = 60_000;

export interface HeaderOptions {
  stale?: boolean;
  signal?: AbortSignal;
}

export interface Credentials {
  headers(options?: HeaderOptions): Promise<Record<string, string>>;
}

/**
 * The credentials of a kubeconfig's user. `tls` gets the certificate a credential plugin hands out.
 * Throws KubeconfigError for a kind we do not know.
 */
export function credentials(user: User, { cluster, tls, now = Date.now }: CredentialContext): Credentials {
  if (user["auth-provider"]) {
    throw new KubeconfigError("auth-provider credentials are not supported: use exec, a token or a certificate");
  }
  const impersonate = impersonation(user);
  const fixed = (authorization: string): Credentials => ({
    headers: async () => ({ Authorization: authorization, ...impersonate }),
  });
  if (user.exec && (user.token || user.tokenFile || user.username)) {
    throw new KubeconfigError(
      "more than one authentication method found for user; exec cannot stand beside a token or password",
    );
  }
  // A token file is preferred to a token: its content is newer.
  if (user.tokenFile) {
    const read = tokenFile(user.tokenFile, now);
    return {
      headers: async ({ stale = false } = {}) => ({ Authorization: `Bearer ${await read(stale)}`, ...impersonate }),
    };
  }
  if (user.token) return fixed(`Bearer ${user.token}`);
  if (user.username || user.password) {
    const pair = `${user.username ?? ""}:${user.password ?? ""}`;
    return fixed(`Basic ${Buffer.from(pair, "utf8").toString("base64")}`);
  }
  if (!user.exec) return { headers: async () => impersonate };
  return plugin({ config: user.exec, cluster, now }, { tls, impersonate });
}

export interface CredentialContext {
  cluster: Cluster;
  tls: ConnectionOptions;
  now?: () => number;
}

function plugin(
  source: ExecSource,
  { tls, impersonate }: { tls: ConnectionOptions; impersonate: Record<string, string> },
): Credentials {
  let loaded: Promise<(options?: HeaderOptions) => Promise<ExecCredential>> | undefined;
  return {
    async headers(options) {
      loaded ??= import("./exec-plugin.ts").then(({ execPlugin }) => execPlugin(source));
      const get = await loaded;
      const { token, certificate, key } = await get(options);
      if (certificate && key && tls.cert !== certificate) {
        tls.cert = certificate;
        tls.key = key;
      }
      return { ...(token && { Authorization: `Bearer ${token}` }), ...impersonate };
    },
  };
}

function tokenFile(path: string, now: () => number): (stale: boolean) => Promise<string> {
  let token = "";
  let readAt = Number.NEGATIVE_INFINITY;
  return async (stale) => {
    if (token && !stale && now() - readAt < tokenFileMs) return token;
    const { readFile } = await import("node:fs/promises");
    try {
      const text = (await readFile(path, "utf8")).trim();
      if (!text) throw new Error("the file is empty");
      token = text;
      readAt = now();
      return token;
    } catch (cause) {
      if (token && !stale) return token; // better an old one than none: it may still be valid
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new CredentialError(`failed to read token file "${path}": ${why}`, { cause });
    }
  };
}

/** Source: client-go transport/round_trippers.go */
function impersonation(user: User): Record<string, string> {
  if (!user.as) {
    if (user["as-groups"]?.length || user["as-uid"] || user["as-user-extra"]) {
      throw new KubeconfigError("requesting uid, groups or user-extra for a user without impersonating a user");
    }
    return {};
  }
  if ((user["as-groups"]?.length ?? 0) > 1 || user["as-user-extra"]) {
    throw new KubeconfigError("impersonation with several groups or extra fields is not supported");
  }
  return {
    "Impersonate-User": user.as,
    ...(user["as-uid"] && { "Impersonate-Uid": user["as-uid"] }),
    ...(user["as-groups"]?.[0] && { "Impersonate-Group": user["as-groups"][0] }),
  };
}
