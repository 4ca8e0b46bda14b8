/** All in milliseconds. */
export interface Timeouts {
  /** Until TCP and TLS stand. */
  connect: number;
  /** From then until the answer's head. */
  response: number;
  /** Longest silence within a body. */
  idle: number;
}

export const defaultTimeouts: Timeouts = { connect: 5_000, response: 10_000, idle: 30_000 };
