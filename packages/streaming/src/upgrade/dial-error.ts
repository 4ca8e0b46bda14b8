/** What Go's net package says for an errno after `dial tcp HOST: connect: `. */
const connectErrors: Record<string, string> = {
  ECONNREFUSED: "connection refused",
  EHOSTUNREACH: "no route to host",
  ENETUNREACH: "network is unreachable",
  ETIMEDOUT: "connection timed out",
  EACCES: "permission denied",
  EADDRNOTAVAIL: "cannot assign requested address",
};

/** Go's words for what node's TLS found wrong with a chain. */
const chainErrors: Record<string, string> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: "certificate signed by unknown authority",
  SELF_SIGNED_CERT_IN_CHAIN: "certificate signed by unknown authority",
  UNABLE_TO_GET_ISSUER_CERT: "certificate signed by unknown authority",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "certificate signed by unknown authority",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "certificate signed by unknown authority",
  CERT_SIGNATURE_FAILURE: "certificate signed by unknown authority",
  CERT_HAS_EXPIRED: "certificate has expired or is not yet valid",
  CERT_NOT_YET_VALID: "certificate has expired or is not yet valid",
  INVALID_PURPOSE: "certificate specifies an incompatible key usage",
};

interface NodeError extends Error {
  code?: string;
  /** Of ERR_TLS_CERT_ALTNAME_INVALID. */
  host?: string;
  cert?: { subjectaltname?: string };
}

/**
 * Why a server could not be reached, in the words of Go's dialer, which people know from the real API server and search for.
 * `host` is `ADDRESS:PORT`. Undefined when the error is not one of reaching it.
 */
export function dialErrorText(error: unknown, host: string): string | undefined {
  for (const cause of causes(error)) {
    const { code = "" } = cause;
    if (connectErrors[code]) return `dial tcp ${host}: connect: ${connectErrors[code]}`;
    if (chainErrors[code]) return `tls: failed to verify certificate: x509: ${chainErrors[code]}`;
    if (code === "ERR_TLS_CERT_ALTNAME_INVALID")
      return `tls: failed to verify certificate: x509: ${nameMismatch(cause)}`;
    if (code === "ECONNRESET" || code === "EPIPE") return `read tcp ${host}: connection reset by peer`;
    if (code.startsWith("ERR_SSL_")) return `tls: ${cause.message}`;
    if (code === "ERR_DIAL_TIMEOUT") return `dial tcp ${host}: i/o timeout`;
  }
  return undefined;
}

function nameMismatch({ host = "", cert }: NodeError): string {
  const names = (cert?.subjectaltname ?? "").split(", ").map((name) => name.replace(/^(DNS|IP Address):/, ""));
  const known = names.filter((name) => name !== "");
  if (known.length === 0) return `certificate is not valid for any names, but wanted to match ${host}`;
  return `certificate is valid for ${known.join(", ")}, not ${host}`;
}

/** An error and what caused it, outermost first; at most ten deep. */
function* causes(error: unknown): Generator<NodeError> {
  let current = error;
  for (let depth = 0; depth < 10 && current instanceof Error; depth++) {
    yield current;
    if (current instanceof AggregateError) for (const inner of current.errors) if (inner instanceof Error) yield inner;
    current = current.cause;
  }
}
