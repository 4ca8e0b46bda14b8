import { badRequest, type Pod } from "@hawser/api";
import { type ProxyOptions, proxyUpgrade, type RemoteCommandStreams, type UpgradeRequest } from "@hawser/streaming";
import { forbiddenError } from "../filters/forbidden.ts";
import type { Access, Objects, RequestContext } from "../request.ts";
import { describeHeaders, forwardedHeaders } from "./forwarded-headers.ts";
import { type FindKubelet, joinHostPort } from "./kubelet-connection.ts";
import type { KubeletPath } from "./kubelet-url.ts";

/** From dialling a kubelet to its answer. Milliseconds. */
const backendTimeout = 15_000;

export interface ConnectDependencies {
  objects: Pick<Objects, "get">;
  access: Pick<Access, "decide">;
  findKubelet: FindKubelet;
  /** As in PodStreamsOptions. */
  peerTimeoutMs?: number | undefined;
}

export interface Connection {
  nodeName: string;
  path: KubeletPath;
  kind: ProxyOptions["kind"];
  streams?: RemoteCommandStreams;
}

/**
 * A session in a container is a deed, whatever method opened it: WebSocket clients come with GET, which is `get` to the authorizer.
 * So who has not been allowed `create` yet is asked about it here. Throws StatusError 403 that names the missing verb.
 *
 * Source: kubernetes/kubernetes pkg/registry/core/pod/rest/authorize.go
 */
export async function requireCreate({ access }: ConnectDependencies, { info, user }: RequestContext): Promise<void> {
  if (info.verb === "create") return;
  const attributes = { ...info, verb: "create" };
  const { allowed, reason } = await access.decide(user, attributes);
  if (!allowed) throw forbiddenError(user, attributes, reason);
}

/** The pod of a request. Throws StatusError NotFound. */
export function podOf({ objects }: ConnectDependencies, { info }: RequestContext): Promise<Pod> {
  return objects.get<Pod>({ resource: "pods", namespace: info.namespace, name: info.name });
}

/**
 * Joins a client's upgrade to a node's kubelet. Resolves when the session is over.
 *
 * Throws StatusError when nothing was answered yet: 404 for a node that is gone, 500 for one whose
 * address may not be dialled, and then 400 where no upgrade was asked for. A kubelet that cannot be reached, or refuses, is told to the client by proxyUpgrade.
 *
 * Source: kubernetes/apimachinery pkg/util/proxy/upgradeaware.go
 */
export async function connectKubelet(
  { findKubelet, peerTimeoutMs }: Pick<ConnectDependencies, "findKubelet" | "peerTimeoutMs">,
  { log, signal }: RequestContext,
  upgrade: UpgradeRequest | undefined,
  { nodeName, path, kind, streams }: Connection,
): Promise<void> {
  const kubelet = await findKubelet(nodeName);
  if (!upgrade) throw badRequest("Upgrade request required");
  const headers = forwardedHeaders(upgrade.request);
  if (log.v(8)) {
    const described = describeHeaders(upgrade.request.rawHeaders, headers);
    log.info(`Connecting to backend proxy (direct dial) https://${kubelet.host}${path} Headers: ${described}`);
  }
  try {
    await proxyUpgrade(upgrade, {
      target: { url: new URL(path, kubelet.base), headers, tls: kubelet.tls, signal, timeoutMs: backendTimeout },
      kind,
      ...(streams && { streams }),
      ...(peerTimeoutMs !== undefined && { peerTimeoutMs }),
      nextHop: kubelet.speaksWebSocket ? "websocket" : "spdy",
      hopsBehind: 1, // its runtime
      backendName: `the kubelet of node ${JSON.stringify(nodeName)}`,
      onBackend: ({ way, statusCode, localAddress, localPort }) => {
        const from = localAddress && joinHostPort(localAddress, localPort ?? 0);
        log.at(4, "backend answered", { node: kubelet.nodeName, backend: kubelet.host, from, way, statusCode });
      },
      log,
    });
  } catch (error) {
    // The client has had its answer, or is gone: proxyUpgrade rejects for nothing else.
    log.at(2, "the client's upgrade came to nothing", { node: kubelet.nodeName, error });
  }
}
