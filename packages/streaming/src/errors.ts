import type { IncomingHttpHeaders } from "node:http";
import type { Status } from "@hawser/api";

/**
 * The peer broke the wire format. `code` is what it is told before we hang up:
 * a WebSocket close code, or a SPDY status.
 */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
  readonly code: number;

  constructor(message: string, code: number, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/**
 * How a session failed:
 * `truncated`: an output was reset or cut before its end; `no-status`: everything ended but nobody said how;
 * `protocol`: the peer broke the protocol; `lost`: the connection went away.
 */
export type StreamErrorKind = "truncated" | "no-status" | "protocol" | "lost";

/** What is said of a peer: by its name, for those to whom it is one of several, or as "the peer". */
export type PeerWords = (peer?: string) => string;

/** A stream or session ended in another way than by its protocol. */
export class StreamError extends Error {
  override readonly name = "StreamError";
  readonly kind: StreamErrorKind;
  readonly #words: PeerWords | undefined;

  constructor(kind: StreamErrorKind, words: string | PeerWords, options?: ErrorOptions) {
    super(typeof words === "string" ? words : words(), options);
    this.kind = kind;
    this.#words = typeof words === "string" ? undefined : words;
  }

  /** Its message, in which the peer has this name. */
  naming(peer: string | undefined): string {
    return this.#words?.(peer) ?? this.message;
  }
}

/** An error's message, in which the peer has this name, where it is one that tells of its peer. */
export function wordsOf(error: unknown, peer?: string): string {
  if (error instanceof StreamError) return error.naming(peer);
  return error instanceof Error ? error.message : String(error);
}

export interface UpgradeAnswer {
  statusCode: number;
  headers: IncomingHttpHeaders;
  /** At most 64 KiB of it. */
  body: string;
  /** The body, where it is a Kubernetes Status. */
  status?: Status | undefined;
}

/**
 * An upgrade that was answered with something else than 101, or with a 101 that does not fit.
 * Its message is the Status' text where there is one, and the body otherwise.
 */
export class UpgradeError extends Error implements UpgradeAnswer {
  override readonly name = "UpgradeError";
  readonly statusCode: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly status: Status | undefined;

  constructor(message: string, answer: UpgradeAnswer, options?: ErrorOptions) {
    super(message, options);
    this.statusCode = answer.statusCode;
    this.headers = answer.headers;
    this.body = answer.body;
    this.status = answer.status;
  }
}
