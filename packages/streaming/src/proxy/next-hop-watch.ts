import type { PeerWords } from "../errors.ts";
import { Heartbeat } from "../heartbeat.ts";
import { defaultPeerTimeoutMs } from "../peer-timeout.ts";
import { Silence } from "../silence.ts";
import type { ProxyOptions } from "./types.ts";

/** How often a next hop is looked after within the time it has. */
const looks = 12;
/** At which of them it is pinged first: servers ping by themselves after 30 s, and clients sooner, so that most are never asked. */
const firstPing = 8;

/**
 * Milliseconds as `peerTimeoutMs`, of a session with a next hop that has others behind it: of several hops that wait for the same one the nearest is to
 * be the first to say so.
 */
export function nextHopTimeoutMs({
  peerTimeoutMs = defaultPeerTimeoutMs,
  hopsBehind = 0,
}: Pick<ProxyOptions, "peerTimeoutMs" | "hopsBehind">): number {
  return peerTimeoutMs * (1 + hopsBehind / 6);
}

export interface NextHopWatchOptions {
  /** Milliseconds without a byte, though it was pinged, until the next hop counts as lost; 0 for never. */
  lostMs: number;
  /** Milliseconds without use of the session until onIdle; 0 for never. */
  idleMs: number;
  onIdle(): void;
  /** False where it cannot be said now: within a frame of the client's. */
  ping(): boolean;
  /** Whether the next hop is read at present: its client may take nothing. */
  isRead(): boolean;
  /** As for Silence. */
  sent(): number;
  /** Called once. */
  onLost(why: PeerWords): void;
}

/** Finds out, for a session that is spliced, that the next hop has gone without a word while its kernel still acknowledges what it gets. */
export class NextHopWatch implements Disposable {
  readonly #heartbeat: Heartbeat;
  readonly #silence: Silence;
  #silentMs = 0;
  /** It was pinged since it was last heard. */
  #asked = false;

  constructor({ lostMs, idleMs, onIdle, ping, isRead, sent, onLost }: NextHopWatchOptions) {
    // One that could not be asked has left nothing unanswered.
    this.#silence = new Silence({ lostMs, sent: () => (this.#asked ? sent() : Number.POSITIVE_INFINITY) });
    const lookMs = lostMs / looks;
    let isLost = false;
    this.#heartbeat = new Heartbeat({
      tickMs: lookMs,
      idleMs,
      idle: onIdle,
      tick: (elapsedMs) => {
        if (lostMs === 0 || isLost) return;
        if (!isRead()) return this.heard();
        this.#silentMs += elapsedMs;
        const why = this.#silence.passed(elapsedMs);
        if (why !== undefined) {
          isLost = true;
          onLost(why);
        } else if (this.#silentMs >= firstPing * lookMs && ping()) this.#asked = true;
      },
    });
  }

  /** Something came from the next hop. */
  heard(): void {
    this.#silentMs = 0;
    this.#asked = false;
    this.#silence.broken();
  }

  /** Something passed that is use of the session. */
  used(): void {
    this.#heartbeat.used();
  }

  [Symbol.dispose](): void {
    this.#heartbeat[Symbol.dispose]();
  }
}
