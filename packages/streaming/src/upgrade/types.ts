import type { Agent, IncomingHttpHeaders, IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import type { ConnectionOptions } from "node:tls";

/** Where an upgrade goes to. `http:` is plain, `https:` is TLS as `tls` says. */
export interface DialTarget {
  url: URL;
  headers?: Record<string, string | string[]>;
  tls?: ConnectionOptions;
  /** Aborting gives up the dial; once the connection is handed over it has no effect. */
  signal?: AbortSignal;
  /** Milliseconds from the start to the answer's headers; 30 000 where absent. */
  timeoutMs?: number;
  localAddress?: string;
  /** Whose connections to use, one of them that is idle first: saves a handshake where a request was just answered. */
  agent?: Agent;
}

/** A connection after its 101. `head` are the bytes that came behind the answer: the protocol's first. */
export interface UpgradedConnection {
  socket: Duplex;
  head: Buffer;
  headers: IncomingHttpHeaders;
}

/** What node's 'upgrade' event hands over. */
export interface UpgradeRequest {
  request: IncomingMessage;
  socket: Duplex;
  head: Buffer;
}

/** An answer that is not an upgrade. */
export interface Refusal {
  statusCode: number;
  contentType: string;
  body: string;
  headers?: Record<string, string | string[]>;
}

export type UpgradeKind = "websocket" | "spdy";
