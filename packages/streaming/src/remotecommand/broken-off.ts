import { internalError, type Status } from "@hawser/api";

/** What marks the Status of a hop that has lost the one behind it: nobody knows how the command ended. */
const cause = "SessionBrokenOff";

/** The Status for a client whose session has broken off behind this hop; for other clients than ours it is an internal error like any other. */
export function brokenOffStatus(why: string): Status {
  const { status } = internalError(`the session broke off: ${why}`);
  return { ...status, details: { causes: [{ reason: cause, message: why }] } };
}

/** Why a connection is over, in words for those to whom its peer is one of several hops: an error's of its own name it, or nothing. */
export function lossOf(error: Error | undefined, hop: string): string {
  if (!error) return `${hop} closed the connection`;
  if (error.message.includes("the peer")) return error.message.replace("the peer", () => hop);
  return error.message.replace(/^connection (lost|closed)/, (_, how) => `connection with ${hop} ${how}`);
}

/** Why, where a Status is one of those. */
export function brokenOffReason({ details }: Status): string | undefined {
  const found = details?.causes?.find(({ reason }) => reason === cause);
  return found && (found.message ?? "");
}
