import type { Status } from "@hawser/api";
import type { ByteSink, ByteSource } from "../bytes.ts";
import type { UpgradeKind } from "../upgrade/types.ts";

/** Columns and rows of a terminal, 1 to 65535. */
export interface TerminalSize {
  width: number;
  height: number;
}

/** Which streams a session has besides the error stream. */
export interface RemoteCommandStreams {
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
  tty: boolean;
}

export interface AcceptOptions extends RemoteCommandStreams {
  /** Milliseconds a client may take to open its streams (SPDY). 30 000 where absent. */
  streamCreationTimeoutMs?: number;
  /** Milliseconds without a byte either way until the session is ended. 4 hours where absent, 0 for never. */
  idleTimeoutMs?: number;
  /** Milliseconds of silence until we ping. 30 000 where absent, 0 for never. */
  pingIntervalMs?: number;
  /** Subprotocols to take; all we know where absent. */
  protocols?: readonly string[];
}

/** One remote command as its server sees it. */
export interface ServerSession extends AsyncDisposable {
  readonly transport: UpgradeKind;
  /** The negotiated subprotocol: `v4.channel.k8s.io`, ... */
  readonly protocol: string;
  /** Throws when the client is lost; ends at the client's end of input. Leaving the iteration discards the rest. */
  readonly stdin?: ByteSource;
  readonly stdout?: ByteSink;
  readonly stderr?: ByteSink;
  /** Sizes in order; of a slow reader's backlog the last 16. Ends with the session. */
  readonly resize: AsyncIterable<TerminalSize>;
  /** Aborted when the client is gone. */
  readonly signal: AbortSignal;
  /**
   * Ends the outputs in order, sends the status, waits up to 5 s for the client's close, and closes.
   * Resolves also when the client is gone already.
   */
  finish(status: Status): Promise<void>;
}

export interface OpenOptions extends RemoteCommandStreams {
  /** In order of preference; the next is tried as kubectl does it: when the upgrade was refused. Default both, WebSocket first. */
  transports?: readonly UpgradeKind[];
  /**
   * Subprotocols to offer, most preferred first; by default v5 on WebSocket, v5 to v1 on SPDY. On a WebSocket those before v5,
   * base64 or not, cannot tell the end of stdin: closing it throws, and the command goes on.
   */
  protocols?: readonly string[];
  /** Milliseconds of silence until we ping. 5 000, or a fourth of the time after which the peer is given up, where absent; 0 for never. */
  pingIntervalMs?: number;
  /**
   * Milliseconds a peer may leave what we sent unacknowledged by its kernel, and twice that by its program, which does not answer pings
   * then; it counts as lost after that. 30 000 where absent, 0 for as long as TCP has it. Where more than 64 KiB of input may be waiting there for the
   * process, genuine servers answer no pings: 15 times as long then.
   */
  peerTimeoutMs?: number;
}

/** One remote command as its client sees it. */
export interface ClientSession extends AsyncDisposable {
  readonly transport: UpgradeKind;
  readonly protocol: string;
  readonly stdin?: ByteSink;
  /** Throws a StreamError when it was cut. Must be read to its end: an unread output stalls the session. */
  readonly stdout?: ByteSource;
  readonly stderr?: ByteSource;
  resize(size: TerminalSize): Promise<void>;
  /** Resolves only when a Status was received and every stream ended in order; else rejects with a StreamError. */
  readonly status: Promise<Status>;
}
