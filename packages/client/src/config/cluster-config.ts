import type { ConnectionOptions } from "node:tls";

/** Header lines by name; a name with several values is several lines. */
export type HeaderLines = Record<string, string | string[]>;

/** One cluster as one user sees it: what every connection to it needs. */
export interface ClusterConfig {
  server: URL;
  /** Where objects live when no namespace is named. */
  namespace: string;
  /** Trust and client certificate. Await `headers()` before dialling: a credential plugin fills in its certificate there. */
  tls: ConnectionOptions;
  /** Through which every connection goes: `http:`, `https:` (both asked to CONNECT), `socks5:` or `socks5h:`. */
  proxy?: URL;
  /**
   * The headers that say who we are, fresh for each request. Throws CredentialError when they cannot be had.
   * `stale` after a 401: cached credentials are thrown away first.
   */
  headers(options?: { stale?: boolean; signal?: AbortSignal }): Promise<HeaderLines>;
  /** The name of the kubeconfig's user. */
  user?: string;
  /** The name of the kubeconfig's context, and of its cluster. */
  context?: string;
  cluster?: string;
}
