import type { PeerWords } from "./errors.ts";
import { defaultPeerTimeoutMs } from "./peer-timeout.ts";

/**
 * Bytes of input that are surely taken off a connection's reading, though the process reads none of it: a pipe's. Genuine servers
 * answer no ping while they wait to get rid of more.
 */
const surelyTaken = 64 * 1024;
/** How much longer a server may be silent that may be waiting for its process: then 15 minutes, which is TCP's own patience. */
const waitingFactor = 15;

export interface SilenceOptions {
  /** Milliseconds; 0 for no limit. */
  lostMs: number;
  /** Bytes that were sent in all, where any of them may still wait to be taken; else 0. */
  sent(): number;
}

/**
 * Counts how long a connection's peer has not sent a byte, though it was pinged. Measured in a heartbeat's ticks and not by a clock:
 * a process that was stopped, or a machine that slept, has nothing to hold against its peer.
 */
export class Silence {
  readonly #options: SilenceOptions;
  #silentMs = 0;

  constructor(options: SilenceOptions) {
    this.#options = options;
  }

  /** Something came, or we do not read. */
  broken(): void {
    this.#silentMs = 0;
  }

  /** Milliseconds have passed. Says why when the peer is to be given up. */
  passed(elapsedMs: number): PeerWords | undefined {
    const { lostMs, sent } = this.#options;
    this.#silentMs += elapsedMs;
    if (lostMs === 0 || this.#silentMs <= lostMs) return undefined;
    const allowed = sent() > surelyTaken ? lostMs * waitingFactor : lostMs;
    if (this.#silentMs <= allowed) return undefined;
    return (peer = "the peer") => `${peer} has sent nothing, and answered no ping, for ${allowed / 1000} s`;
  }
}

/** How a client, or a hop towards the next one, finds out that its peer has gone without a word. */
export interface Liveness {
  /** Milliseconds of silence until we ping; 0 for never. */
  pingMs: number;
  /** Milliseconds of unanswered pings until the peer counts as lost; 0 for never. */
  lostMs: number;
}

/**
 * From what a caller may set: `pingIntervalMs` and `peerTimeoutMs`, either of them 0 for never; pings may be left unanswered for twice the latter. At least two pings are sent before a peer is given up.
 * Throws RangeError for a time below 0, or one that is no number.
 */
export function livenessOf(
  { pingIntervalMs, peerTimeoutMs = defaultPeerTimeoutMs }: { pingIntervalMs?: number; peerTimeoutMs?: number },
  usualPingMs: number,
): Liveness {
  for (const [name, value] of Object.entries({ pingIntervalMs, peerTimeoutMs })) {
    if (value !== undefined && !(value >= 0)) throw new RangeError(`${name} is ${value}: at least 0 is needed`);
  }
  const lostMs = 2 * peerTimeoutMs;
  const pingMs = pingIntervalMs ?? (lostMs > 0 ? Math.min(usualPingMs, lostMs / 4) : usualPingMs);
  return { pingMs, lostMs: pingMs && lostMs };
}
