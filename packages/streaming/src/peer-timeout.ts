/** Milliseconds that a peer may leave what we sent unacknowledged, or a question unanswered, where nothing else is said. */
export const defaultPeerTimeoutMs = 30_000;
