import { internalError, type Status } from "@hawser/api";

/** What marks the Status of a hop that has lost the one behind it: nobody knows how the command ended. */
const cause = "SessionBrokenOff";

/** The Status for a client whose session has broken off behind this hop; for other clients than ours it is an internal error like any other. */
export function brokenOffStatus(why: string): Status {
  const { status } = internalError(`the session broke off: ${why}`);
  return { ...status, details: { causes: [{ reason: cause, message: why }] } };
}

/** An error's words of a connection's peer, for those to whom it is another hop. */
export function namingPeer(words: string, name: string): string {
  return words.replace("the peer", name);
}

/** Why, where a Status is one of those. */
export function brokenOffReason({ details }: Status): string | undefined {
  const found = details?.causes?.find(({ reason }) => reason === cause);
  return found && (found.message ?? "");
}
