import type { Agent } from "node:http";
import { StatusError } from "@hawser/api";
import type { DialTarget, PortForwardSession, PortForwardTransport } from "@hawser/streaming";
import { StreamError, UpgradeError } from "@hawser/streaming/errors";
import { type KubeClient, recentAgents } from "./client.ts";
import { connectionError } from "./connection-error.ts";
import { pathOf } from "./ref.ts";

/** A pod's streaming subresource and its query. */
export interface PodSubresource {
  namespace: string;
  pod: string;
  subresource: "exec" | "attach" | "portforward";
  query?: URLSearchParams | undefined;
}

/**
 * Dials a pod's subresource with the client's identity: `open` gets the target and makes a session of it.
 * After a 401 once more, with fresh credentials.
 *
 * Throws StatusError (the server said no), UpgradeError (it said so in plain text, as kubelets do, or a proxy did),
 * ConnectionError (no answer), or the signal's reason.
 */
export async function dialPod<Session>(
  client: Pick<KubeClient, "config">,
  { namespace, pod, subresource, query }: PodSubresource,
  { open, signal }: { open: (target: DialTarget) => Promise<Session>; signal?: AbortSignal | undefined },
): Promise<Session> {
  const { config } = client;
  const url = new URL(config.server);
  url.pathname =
    config.server.pathname.replace(/\/+$/, "") + pathOf({ resource: "pods", namespace, name: pod, subresource });
  url.search = query?.toString() ?? "";
  for (let attempt = 0; ; attempt++) {
    const headers = await config.headers({ stale: attempt > 0, ...(signal && { signal }) });
    signal?.throwIfAborted();
    const agent = recentAgents.get(client)?.() ?? (await throughProxy(config));
    try {
      return await open({ url, headers, tls: config.tls, ...(agent && { agent }), ...(signal && { signal }) });
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      const again = error instanceof UpgradeError && error.statusCode === 401 && headers.Authorization && attempt === 0;
      if (!again) throw refusal(error, config.server);
    }
  }
}

/** A session to forward a pod's ports by; what ends it is told to whoever uses it. Throws as `dialPod` does. */
export async function dialPortForward(
  client: Pick<KubeClient, "config">,
  options: {
    namespace: string;
    pod: string;
    transports?: readonly PortForwardTransport[] | undefined;
    peerTimeoutMs?: number | undefined;
    signal?: AbortSignal | undefined;
  },
): Promise<PortForwardSession> {
  const { namespace, pod, transports, peerTimeoutMs, signal } = options;
  const how = { ...(transports && { transports }), ...(peerTimeoutMs !== undefined && { peerTimeoutMs }) };
  const { openPortForward } = await import("@hawser/streaming/portforward");
  const session = await dialPod(
    client,
    { namespace, pod, subresource: "portforward" },
    { open: (target) => openPortForward(target, how), signal },
  );
  session.closed.catch(() => {});
  return session;
}

/** An upgrade's connection is never reused, so neither is its agent. */
async function throughProxy({ proxy, server, tls }: KubeClient["config"]): Promise<Agent | undefined> {
  if (!proxy) return undefined;
  const { proxyAgent } = await import("./proxy/agent.ts");
  return proxyAgent(proxy, { ...tls, keepAlive: false, secure: server.protocol === "https:" });
}

/** Source: kubernetes/client-go transport/spdy/upgrade.go, for the words */
function refusal(error: unknown, server: URL): unknown {
  if (error instanceof UpgradeError) {
    if (error.status) return new StatusError(error.status, { cause: error });
    const body = error.body.trim();
    return new UpgradeError(`unable to upgrade connection: ${body || error.message}`, error, { cause: error });
  }
  if (error instanceof StreamError || error instanceof TypeError) return error;
  return error instanceof Error && "code" in error ? connectionError(error, server) : error;
}
