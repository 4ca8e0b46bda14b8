import { isIP } from "node:net";
import { type ConnectionOptions, createSecureContext } from "node:tls";
import type { Node } from "@hawser/api";
import type { Objects, PodStreamsOptions } from "../request.ts";
import { dialAddress, preferredAddress } from "./node-address.ts";
import { plainError } from "./plain-error.ts";

/** Where a node that names no port is met. Source: kubernetes/kubernetes pkg/cluster/ports/ports.go */
const defaultKubeletPort = 10250;
/** A kubelet with this takes WebSocket itself. Source: kubernetes/kubernetes pkg/features/kube_features.go */
const webSocketFeature = "ExtendWebSocketsToKubelet";

/** How to reach one node's kubelet. */
export interface Kubelet {
  nodeName: string;
  /** As people know it: `192.168.205.11:10250`, the address of the node's status. */
  host: string;
  /** `https://IP:PORT/`, the IP checked and the one to dial. */
  base: URL;
  /** Shows our certificate, and believes only one that the CA signed for this node's name. */
  tls: ConnectionOptions;
  speaksWebSocket: boolean;
}

export type FindKubelet = (nodeName: string) => Promise<Kubelet>;

/**
 * Finds kubelets by what their nodes' status says. The kubelet's certificate must name the node (a DNS name) and not the address:
 * no other node can then stand in for it, wherever the traffic is led. A node whose name is an IP address needs that IP in its certificate.
 *
 * Throws StatusError: NotFound when there is no such node, a plain 500 when it has no address that may be dialled.
 */
export function findKubelets({
  objects,
  kubelet,
}: {
  objects: Pick<Objects, "get">;
  kubelet: PodStreamsOptions["kubelet"];
}): FindKubelet {
  const { certPEM: cert, keyPEM: key, caPEM: ca, preferredAddressTypes, allowLoopback = false } = kubelet;
  // Made once: reading the PEMs costs more than the rest of a dial.
  const secureContext = createSecureContext({ cert, key, ca });
  const locate = async (node: Node) => {
    const address = preferredAddress(node, preferredAddressTypes);
    return { address, ip: await dialAddress(address, { allowLoopback }) };
  };
  return async (nodeName) => {
    const node = await objects.get<Node>({ resource: "nodes", name: nodeName });
    const { address, ip } = await locate(node).catch((cause: unknown) => {
      throw plainError(cause instanceof Error ? cause.message : String(cause), cause);
    });
    const port = kubeletPort(node);
    return {
      nodeName,
      host: joinHostPort(address, port),
      base: new URL(`https://${joinHostPort(ip, port)}/`),
      // ca, cert and key stand here too because sessions are remembered by them.
      tls: { ca, cert, key, secureContext, ...(isIP(nodeName) ? {} : { servername: nodeName }) },
      speaksWebSocket: declaredFeatures(node).includes(webSocketFeature),
    };
  };
}

function kubeletPort(node: Node): number {
  const port = node.status?.daemonEndpoints?.kubeletEndpoint?.Port ?? 0;
  return port > 0 ? port : defaultKubeletPort;
}

/** The field is younger than the types we have. */
function declaredFeatures({ status }: Node): string[] {
  const { declaredFeatures: features } = (status ?? {}) as { declaredFeatures?: unknown };
  return Array.isArray(features) ? features.filter((feature) => typeof feature === "string") : [];
}

export function joinHostPort(host: string, port: number): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}
