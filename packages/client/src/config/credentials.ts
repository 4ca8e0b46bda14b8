import type { ConnectionOptions } from "node:tls";
import type { HeaderLines } from "./cluster-config.ts";
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
  headers(options?: HeaderOptions): Promise<HeaderLines>;
}

/**
 * The credentials of a kubeconfig's user. `tls` gets the certificate a credential plugin hands out.
 * Throws KubeconfigError for a kind we do not know, and for what does not go together.
 */
export function credentials(user: User, { name, cluster, tls, now = Date.now }: CredentialContext): Credentials {
  validate(user, name);
  const impersonate = impersonation(user);
  const fixed = (authorization: string): Credentials => ({
    headers: async () => ({ Authorization: authorization, ...impersonate }),
  });
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
  /** The user's, for errors. */
  name: string;
  cluster: Cluster;
  tls: ConnectionOptions;
  now?: () => number;
}

function plugin(
  source: ExecSource,
  { tls, impersonate }: { tls: ConnectionOptions; impersonate: HeaderLines },
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

/** Source: kubernetes/client-go transport/round_trippers.go */
function impersonation(user: User): HeaderLines {
  if (!user.as) return {};
  const extra = Object.entries(user["as-user-extra"] ?? {});
  return {
    "Impersonate-User": user.as,
    ...(user["as-uid"] && { "Impersonate-Uid": user["as-uid"] }),
    ...(user["as-groups"]?.length && { "Impersonate-Group": user["as-groups"] }),
    ...Object.fromEntries(extra.map(([key, values]) => [`Impersonate-Extra-${headerKey(key)}`, values])),
  };
}

/** A key may have signs that a header's name may not; the server undoes this. */
function headerKey(key: string): string {
  const escaped = (char: string) =>
    [...Buffer.from(char)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`).join("");
  return key.toLowerCase().replaceAll(/[^!#$&'*+.^_`|~0-9a-z-]/gu, escaped);
}

/** Source: kubernetes/client-go tools/clientcmd/validation.go validateAuthInfo */
function validate(user: User, name: string): void {
  const invalid = (words: string) => new KubeconfigError(`invalid configuration: ${words}`);
  const { exec, token, username, password } = user;
  if (user["auth-provider"]) {
    throw new KubeconfigError(
      `auth-provider credentials are not supported: give user ${JSON.stringify(name)} of the kubeconfig an exec plugin (kubectl config set-credentials ${JSON.stringify(name)} --exec-command=…; gke-gcloud-auth-plugin for gcp, kubelogin for azure and oidc), a token or a certificate`,
    );
  }
  const methods = [...(token ? ["token"] : []), ...(username || password ? ["basicAuth"] : [])];
  if (exec && (methods.length > 0 || user.tokenFile)) {
    throw new KubeconfigError(
      "more than one authentication method found for user; exec cannot stand beside a token or password",
    );
  }
  if (methods.length > 1) {
    throw invalid(
      `more than one authentication method found for ${name}; found [${methods.join(" ")}], only one is allowed`,
    );
  }
  if (!user.as && (user["as-groups"]?.length || user["as-uid"] || user["as-user-extra"])) {
    throw invalid(`requesting uid, groups or user-extra for ${name} without impersonating a user`);
  }
  if (!exec) return;
  const missing = (what: string) => invalid(`${what} must be specified for ${name} to use exec authentication plugin`);
  if (!exec.command) throw missing("command");
  if (!exec.apiVersion) throw missing("apiVersion");
  if (exec.env?.some((each) => !each.name)) throw missing("env variable name");
  const { interactiveMode } = exec;
  if (!interactiveMode && exec.apiVersion === "client.authentication.k8s.io/v1") throw missing("interactiveMode");
  if (interactiveMode && !["Never", "IfAvailable", "Always"].includes(interactiveMode)) {
    throw invalid(`invalid interactiveMode for ${name}: "${interactiveMode}"`);
  }
}
