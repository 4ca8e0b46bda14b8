import type { ClusterConfig } from "@hawser/client";
import { KubeConfig } from "@kubernetes/client-node";

/** A row of docs/client-node.md. */
export interface Lack {
  /** What is at stake. */
  title: string;
  /** What @kubernetes/client-node does. */
  theirs: string;
  /** What @hawser/client does. */
  ours: string;
  /** Shows both. Throws where one of them does otherwise. */
  show(): Promise<void>;
}

/** A test server's cluster, as @kubernetes/client-node knows one. */
export function theirConfig({ server, tls }: ClusterConfig): KubeConfig {
  const base64 = (text: unknown) => Buffer.from(String(text)).toString("base64");
  const config = new KubeConfig();
  config.loadFromOptions({
    clusters: [{ name: "c", server: server.origin, caData: base64(tls.ca), skipTLSVerify: false }],
    users: [{ name: "u", certData: base64(tls.cert), keyData: base64(tls.key) }],
    contexts: [{ name: "x", cluster: "c", user: "u" }],
    currentContext: "x",
  });
  return config;
}

/** Resolves when a count has stood still for half a second. */
export async function standsStill(count: () => number): Promise<number> {
  for (let last = -1; ; ) {
    const now = count();
    if (now === last) return now;
    last = now;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}
