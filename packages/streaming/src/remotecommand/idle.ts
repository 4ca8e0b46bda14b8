import { failure, type Status } from "@hawser/api";

/** What a client is told whose session was ended because nobody used it. */
export function idleStatus(milliseconds: number): Status {
  const seconds = Math.round(milliseconds / 1000);
  const message = `the session was ended: nothing was sent or received for ${seconds} s`;
  return failure({ code: 504, reason: "Timeout", message }).status;
}
