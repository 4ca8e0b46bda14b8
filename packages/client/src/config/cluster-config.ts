import type { ConnectionOptions } from "node:tls";

/** One cluster as one user sees it: what every connection to it needs. */
export interface ClusterConfig {
  server: URL;
  /** Where objects live when no namespace is named. */
  namespace: string;
  /** Trust and client certificate. Await `headers()` before dialling: a credential plugin fills in its certificate there. */
  tls: ConnectionOptions;
  /**
   * The headers that say who we are, fresh for each request. Throws CredentialError when they cannot be had.
   * `stale` after a 401: cached credentials are thrown away first.
   */
  headers(options?: { stale?: boolean; signal?: AbortSignal }): Promise<Record<string, string>>;
  /** The name of the kubeconfig's user. */
  user?: string;
  /** The name of the kubeconfig's context, and of its cluster. */
  context?: string;
  cluster?: string;
}
