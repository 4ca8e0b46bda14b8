/**
 * The versions of remotecommand.
 * v1: the first. v2: end of stdin without closing the rest (k/k 13394, 13395). v3: terminal sizes.
 * v4: the end is a JSON Status with the exit code. v5: a message that closes one stream of a WebSocket.
 *
 * Source: kubernetes/cri-streaming pkg/streaming/remotecommand/constants.go
 */
export const Protocol = {
  v1: "channel.k8s.io",
  v2: "v2.channel.k8s.io",
  v3: "v3.channel.k8s.io",
  v4: "v4.channel.k8s.io",
  v5: "v5.channel.k8s.io",
  v1Base64: "base64.channel.k8s.io",
  v4Base64: "v4.base64.channel.k8s.io",
} as const;

/** What a server takes over SPDY, as the real ones: v5 differs from v4 on WebSocket alone. */
export const spdyServerProtocols = [Protocol.v4, Protocol.v3, Protocol.v2, Protocol.v1] as const;
/** What a client offers over SPDY. */
export const spdyClientProtocols = [Protocol.v5, ...spdyServerProtocols] as const;
/** What a server takes over WebSocket. "" is a client that names none: v1. */
export const webSocketServerProtocols = [
  Protocol.v5,
  Protocol.v4,
  Protocol.v4Base64,
  Protocol.v1,
  Protocol.v1Base64,
  "",
] as const;

export interface Features {
  /** The end is a JSON Status; before v4 it is a text, or nothing for success. */
  jsonStatus: boolean;
  /** There is a stream for terminal sizes. */
  resize: boolean;
  /** A WebSocket can close one channel. */
  closeSignal: boolean;
  /** Channels are digits, payloads base64, messages text. */
  base64: boolean;
}

/** What a protocol can do. Over WebSocket every version has the resize channel, over SPDY it came with v3. */
export function featuresOf(protocol: string): Features {
  const version = Number(/^v(\d)\./.exec(protocol)?.[1] ?? 1);
  return {
    jsonStatus: version >= 4,
    resize: version >= 3,
    closeSignal: version >= 5,
    base64: protocol.includes("base64."),
  };
}
