/** What stood in the way of an answer. */
export type ConnectionErrorKind =
  | "refused"
  | "tls"
  | "dns"
  | "timeout"
  | "unreachable"
  | "reset"
  | "protocol"
  | "proxy"
  | "other";

/**
 * No answer came from the server: it could not be reached, was not trusted, or hung up.
 * The message is the line kubectl would print.
 *
 * Source: kubernetes/kubectl pkg/cmd/util/helpers.go StandardErrorMessage; the words after the colon are Go's.
 */
export class ConnectionError extends Error {
  override readonly name = "ConnectionError";
  readonly kind: ConnectionErrorKind;
  /** True when the request cannot have reached the server, so that sending it again is safe. */
  readonly unsent: boolean;

  constructor(
    message: string,
    { kind, unsent, cause }: { kind: ConnectionErrorKind; unsent: boolean; cause?: unknown },
  ) {
    super(message, { cause });
    this.kind = kind;
    this.unsent = unsent;
  }
}

const unknownAuthority = "tls: failed to verify certificate: x509: certificate signed by unknown authority";
const refusedClientCertificate = "remote error: tls: bad certificate";

const tlsWords: Record<string, string> = {
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: unknownAuthority,
  UNABLE_TO_GET_ISSUER_CERT: unknownAuthority,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: unknownAuthority,
  SELF_SIGNED_CERT_IN_CHAIN: unknownAuthority,
  DEPTH_ZERO_SELF_SIGNED_CERT: unknownAuthority,
  CERT_SIGNATURE_FAILURE: unknownAuthority,
  CERT_HAS_EXPIRED: "tls: failed to verify certificate: x509: certificate has expired or is not yet valid",
  CERT_NOT_YET_VALID: "tls: failed to verify certificate: x509: certificate has expired or is not yet valid",
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: "remote error: tls: certificate required",
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: "remote error: tls: unknown certificate authority",
  ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE: refusedClientCertificate,
  ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE: "remote error: tls: handshake failure",
};

/** Turns what Node threw while connecting, sending or reading into a ConnectionError about `server`. */
export function connectionError(cause: unknown, server: URL): ConnectionError {
  if (cause instanceof ConnectionError) return cause;
  const error = firstError(cause);
  const code = error.code ?? "";
  const address = `${bracketed(error.address) ?? server.hostname}:${error.port ?? portOf(server)}`;
  const unable = (kind: ConnectionErrorKind, words: string, unsent = true) =>
    new ConnectionError(`Unable to connect to the server: ${words}`, { kind, unsent, cause });

  if (code === "ECONNREFUSED") {
    const message = `The connection to the server ${hostOf(server)} was refused - did you specify the right host or port?`;
    return new ConnectionError(message, { kind: "refused", unsent: true, cause });
  }
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") return unable("tls", wrongName(error, server));
  if (code === "ERR_SSL_WRONG_VERSION_NUMBER" || code === "ERR_SSL_PACKET_LENGTH_TOO_LONG") {
    return unable("tls", "http: server gave HTTP response to HTTPS client");
  }
  const words = tlsWords[code];
  if (words) return unable("tls", words);
  if (code.startsWith("ERR_SSL_") || code === "EPROTO") return unable("tls", `tls: ${error.message}`);
  switch (code) {
    case "ENOTFOUND":
      return unable("dns", `dial tcp: lookup ${server.hostname}: no such host`);
    case "EAI_AGAIN":
      return unable("dns", `dial tcp: lookup ${server.hostname}: Temporary failure in name resolution`);
    case "ETIMEDOUT":
      return unable("timeout", `dial tcp ${address}: i/o timeout`);
    case "ERR_DIAL_TIMEOUT": // of a session: the server may have the request, and not have answered it
      return unable("timeout", `dial tcp ${address}: i/o timeout`, false);
    case "EHOSTUNREACH":
      return unable("unreachable", `dial tcp ${address}: connect: no route to host`);
    case "ENETUNREACH":
      return unable("unreachable", `dial tcp ${address}: connect: network is unreachable`);
    case "ECONNRESET":
      return unable("reset", error.message === "socket hang up" ? "EOF" : "connection reset by peer", false);
    case "EPIPE":
      return unable("reset", "write: broken pipe", false);
  }
  if (code.startsWith("HPE_")) return unable("protocol", `malformed HTTP response: ${error.message}`, false);
  return unable("other", error.message, false);
}

/** `host:port` as it was given in the kubeconfig: the default port stays unwritten. */
function hostOf(server: URL): string {
  return server.host;
}

function portOf(server: URL): string {
  return server.port || (server.protocol === "http:" ? "80" : "443");
}

function bracketed(address: string | undefined): string | undefined {
  return address?.includes(":") ? `[${address}]` : address;
}

interface SystemError extends Error {
  code?: string;
  address?: string;
  port?: number;
  cert?: { subjectaltname?: string };
  /** Whom the certificate was to be for. */
  host?: string;
}

/** Happy eyeballs collects one error per address; the first one speaks for all. */
function firstError(cause: unknown): SystemError {
  if (cause instanceof AggregateError && cause.errors[0] instanceof Error) return firstError(cause.errors[0]);
  return cause instanceof Error ? cause : new Error(String(cause));
}

function wrongName(error: SystemError, server: URL): string {
  const names = (error.cert?.subjectaltname ?? "")
    .split(", ")
    .map((name) => name.replace(/^(DNS|IP Address):/, ""))
    .filter(Boolean);
  const host = error.host ?? server.hostname.replace(/^\[|\]$/g, "");
  const valid =
    names.length > 0
      ? `certificate is valid for ${names.join(", ")}, not ${host}`
      : `cannot validate certificate for ${host}`;
  return `tls: failed to verify certificate: x509: ${valid}`;
}
