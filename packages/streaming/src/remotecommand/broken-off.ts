import { internalError, type Status } from "@hawser/api";
import { wordsOf } from "../errors.ts";

/** What marks the Status of a hop that has lost the one behind it: nobody knows how the command ended. */
const cause = "SessionBrokenOff";

/** The Status for a client whose session has broken off behind this hop; for other clients than ours it is an internal error like any other. */
export function brokenOffStatus(why: string): Status {
  const { status } = internalError(`the session broke off: ${why}`);
  return { ...status, details: { causes: [{ reason: cause, message: why }] } };
}

/** Why a connection is over, in words for those to whom its peer is one of several hops. */
export function lossOf(error: Error | undefined, hop: string): string {
  return error ? wordsOf(error, hop) : `${hop} closed the connection`;
}

/** Why, where a Status is one of those. */
export function brokenOffReason({ details }: Status): string | undefined {
  const found = details?.causes?.find(({ reason }) => reason === cause);
  return found && (found.message ?? "");
}
