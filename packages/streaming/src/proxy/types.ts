import type { Logger } from "@hawser/trace";
import type { RemoteCommandStreams } from "../remotecommand/types.ts";
import type { DialTarget } from "../upgrade/types.ts";

/** What an intermediate hop did with a session. */
export interface BackendInfo {
  /** `splice`: bytes passed unread; `translate`: v5 WebSocket to SPDY; `tunnel`: WebSocket tunnel to SPDY. */
  way: "splice" | "translate" | "tunnel";
  /** The backend's answer: 101, or its refusal. */
  statusCode: number;
  localAddress?: string | undefined;
  localPort?: number | undefined;
  remoteAddress?: string | undefined;
  remotePort?: number | undefined;
}

export interface ProxyOptions {
  target: DialTarget;
  kind: "remotecommand" | "portforward";
  /** Needed for `remotecommand`: what a translation has to open. */
  streams?: RemoteCommandStreams;
  /** What the next hop speaks besides SPDY. */
  nextHop: "spdy" | "websocket";
  onBackend?(info: BackendInfo): void;
  /**
   * Milliseconds a peer may leave what we sent unacknowledged until it counts as gone: 30 s where absent, 0 for TCP's own patience.
   * The next hop of a translation may leave pings unanswered for twice that (or more: see OpenOptions): whoever is behind a splice has to find out himself.
   */
  peerTimeoutMs?: number;
  /**
   * Milliseconds without a byte either way, pings included, until both connections are dropped. 0, or absent: never. A translated
   * session ends as its server's does: pings do not count, it is told by a Status, and absent means 4 hours.
   */
  idleTimeoutMs?: number;
  log: Logger;
}
