// As those of SPDY: see spdy/hop-pings.ts.
import { randomBytes } from "node:crypto";
import { ControlOpcode } from "./frame.ts";

/** How their payload begins. */
const mark = "hawser-hop ";

/** Whether a ping's or pong's payload is a hop's. */
export function isHopPayload(payload: Buffer): boolean {
  return payload.toString("latin1", 0, mark.length) === mark;
}

/** The pings of one hop on one connection: masked, as a client's. */
export class HopPings {
  readonly #payload = Buffer.from(`${mark}${randomBytes(8).toString("hex")}`);

  make(): Uint8Array {
    const mask = randomBytes(4);
    const masked = this.#payload.map((byte, index) => byte ^ (mask[index % 4] ?? 0));
    return Buffer.concat([Buffer.of(0x80 | ControlOpcode.ping, 0x80 | masked.byteLength), mask, masked]);
  }

  isOurs(payload: Buffer): boolean {
    return payload.equals(this.#payload);
  }
}
