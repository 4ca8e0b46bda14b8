import type { Logger } from "@hawser/trace";
import type { RemoteCommandStreams } from "../remotecommand/types.ts";
import type { DialTarget } from "../upgrade/types.ts";

/** What an intermediate hop did with a session. */
export interface BackendInfo {
  /** `splice`: frames passed as they are; `translate`: v5 WebSocket to SPDY; `tunnel`: WebSocket tunnel to SPDY. */
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
   * The next hop may leave pings unanswered for twice that (or more: see OpenOptions).
   */
  peerTimeoutMs?: number;
  /** Hops behind the next one that watch theirs, too: each makes this one wait by a sixth longer for the answers to its pings, so that they can tell it what they know. */
  hopsBehind?: number;
  /** What a client is told the next hop is, where that is lost: "the container runtime". */
  backendName?: string;
  /**
   * Milliseconds without a byte either way, pings of clients and servers included, until both connections are dropped. 0, or absent: never. A translated
   * session ends as its server's does: pings do not count, it is told by a Status, and absent means 4 hours.
   */
  idleTimeoutMs?: number;
  log: Logger;
}
