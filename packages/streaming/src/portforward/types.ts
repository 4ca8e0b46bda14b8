import type { ByteDuplex } from "../bytes.ts";
import type { UpgradeKind } from "../upgrade/types.ts";

export interface AcceptPortForwardOptions {
  /** The ports of a legacy WebSocket, from its URL. SPDY and the tunnel name theirs per connection. */
  ports?: readonly number[];
  /** Opens one connection to a port. What it throws is the end of that connection alone. */
  connect(port: number, signal: AbortSignal): Promise<ByteDuplex>;
  /** Told of each connection that failed. */
  onError?(port: number, error: unknown): void;
  /**
   * Say also on the error stream why a connection broke off that had been made, which makes kubectl give up all its ports, as
   * it does with stock servers. Default false: the client sees a reset. Why a connection could not be made is always said.
   */
  reportErrors?: boolean;
  /** Milliseconds for the second stream of a pair. 30 000 where absent. */
  streamCreationTimeoutMs?: number;
  /** Milliseconds without a byte until the session is ended. 4 hours where absent, 0 for never. */
  idleTimeoutMs?: number;
  /** Milliseconds of silence until we ping. 30 000 where absent, 0 for never. */
  pingIntervalMs?: number;
}

/** A port-forward session as its server sees it. Disposing ends every connection. */
export interface PortForwardServerSession extends AsyncDisposable {
  /** Resolves when the session is over, whoever ended it. */
  readonly closed: Promise<void>;
  /** Aborted when the client is gone. */
  readonly signal: AbortSignal;
}

/** One connection through a port-forward session. */
export interface ForwardedConnection extends ByteDuplex {
  /** What the server said on the error stream; undefined when it ended without a word. */
  readonly error: Promise<string | undefined>;
}

/** `websocket`: SPDY in a WebSocket tunnel; `legacy`: a WebSocket per connection, which knows no half-close. */
export type PortForwardTransport = UpgradeKind | "legacy";

export interface OpenPortForwardOptions {
  /** Default the WebSocket tunnel, then SPDY. */
  transports?: readonly PortForwardTransport[];
  /** Subprotocols that `legacy` offers, most preferred first; by default v4 and its base64 form. */
  protocols?: readonly string[];
  /** The query parameter that tells `legacy`'s port: `ports` for an API server (the default), `port` for a kubelet. */
  portParameter?: "ports" | "port";
  /** Milliseconds of silence until we ping. 10 000, or a fourth of the time after which the peer is given up, where absent; 0 for never. */
  pingIntervalMs?: number;
  /** As for a remote command: milliseconds a peer may leave what we sent unacknowledged, and twice that pings unanswered. 30 000 where absent. */
  peerTimeoutMs?: number;
}

/** A port-forward session as its client sees it: any number of connections to any ports. */
export interface PortForwardSession extends AsyncDisposable {
  readonly transport: PortForwardTransport;
  /** Throws StreamError when the session is over; over `legacy` also what dialling throws. */
  connect(port: number): Promise<ForwardedConnection>;
  /** Resolves when the session is over in order; rejects with a StreamError when it was lost. */
  readonly closed: Promise<void>;
}
