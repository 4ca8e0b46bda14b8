import type { Status } from "@hawser/api";
import type { Transport } from "../../transport.ts";

/** One direction of a splice. What is pushed is copied, and written to the other side so that it always stands between two frames, as far as it can. */
export interface Flow {
  /** True when any of it was more than the pings of hops and their answers. */
  push(chunk: Buffer): boolean;
  /** Writes what was pushed, but for the beginning of a frame that is of no use yet. */
  flush(): void;
  /** Writes frames of this hop's own behind what was pushed. False where that cannot be: within a frame. */
  insert(frames: readonly Uint8Array[]): boolean;
}

/** Where a flow goes, and what is called after each write. */
export type FlowTarget = { to: Transport; written: () => void };

/**
 * Knows the frames of a session that is spliced, so far that this hop can say something of its own: ask the next hop whether it is there, without
 * the client's noticing, and tell the client what became of the session.
 */
export interface Follower {
  fromClient(target: FlowTarget): Flow;
  fromNextHop(target: FlowTarget): Flow;
  /** A ping for the next hop, whose answer will not reach the client. */
  ping(): Uint8Array;
  /** Bytes of input of which some may still wait at the next hop for whoever is to take them, so that it answers no ping: as for Silence. */
  sent(): number;
  /** What is to be written to the client before its end; nothing where the session's end was on its way already. */
  ending(status: Status): Uint8Array[];
}
