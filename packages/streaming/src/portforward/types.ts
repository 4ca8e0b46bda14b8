import type { ByteDuplex } from "../bytes.ts";
import type { UpgradeKind } from "../upgrade/types.ts";

export interface AcceptPortForwardOptions {
  /** The ports of a legacy WebSocket, from its URL. SPDY and the tunnel name theirs per connection. */
  ports?: readonly number[];
  /** Opens one connection to a port. What it throws is the end of that connection alone. */
  connect(port: number, signal: AbortSignal): Promise<ByteDuplex>;
  /** Told of each connection that failed; the client sees a reset, not the text (kubectl gives up on any text). */
  onError?(port: number, error: unknown): void;
  /** Send the reason on the error stream, which makes kubectl give up all its ports, as stock servers do. Default false. */
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

export interface OpenPortForwardOptions {
  /** Default both, the WebSocket tunnel first. */
  transports?: readonly UpgradeKind[];
  /** Milliseconds of silence until we ping. 10 000 where absent, 0 for never. */
  pingIntervalMs?: number;
}

/** A port-forward session as its client sees it: any number of connections to any ports. */
export interface PortForwardSession extends AsyncDisposable {
  readonly transport: UpgradeKind;
  connect(port: number): Promise<ForwardedConnection>;
  /** Resolves when the session is over in order; rejects with a StreamError when it was lost. */
  readonly closed: Promise<void>;
}
