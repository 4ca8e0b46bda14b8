// The pings of the hops between a client and its server. Who is behind them answers them like any other, but does not take them for use of the session,
// which would never be idle then.
import { randomInt } from "node:crypto";
import { encodePing } from "./frame.ts";

/** A client counts up from 1; hops begin at a random number above. Odd, as a client's, or servers would take them for answers to theirs. */
const firstId = 0x4000_0001;
const lastId = 0x7fff_ffff;

/** Whether a ping is a hop's. */
export function isHopPing(id: number): boolean {
  return id >= firstId && id <= lastId && id % 2 === 1;
}

/** The pings of one hop on one connection. */
export class HopPings {
  readonly #first = firstId + 2 * randomInt(2 ** 28);
  #next = this.#first;

  make(): Uint8Array {
    const frame = encodePing(this.#next);
    this.#next += 2;
    return frame;
  }

  isOurs(id: number): boolean {
    return id % 2 === 1 && id >= this.#first && id < this.#next;
  }
}
