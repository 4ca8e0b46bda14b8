/** Port forwarding over SPDY. Source: kubernetes/cri-streaming pkg/streaming/portforward/constants.go */
export const portForwardProtocol = "portforward.k8s.io";

/** Port forwarding in channels of a WebSocket, before the tunnel. */
export const legacyProtocols: readonly string[] = ["v4.channel.k8s.io", "v4.base64.channel.k8s.io"];

const prefix = "SPDY/3.1+";
const suffix = ".k8s.io";

/** The WebSocket subprotocol that carries SPDY with this one inside. */
export function tunnelProtocol(protocol: string): string {
  return `${prefix}${protocol}`;
}

/** What the tunnels among offered WebSocket subprotocols carry. */
export function tunnelled(offered: readonly string[]): string[] {
  const tunnels = offered.filter((protocol) => protocol.startsWith(prefix) && protocol.endsWith(suffix));
  return tunnels.map((protocol) => protocol.slice(prefix.length));
}
