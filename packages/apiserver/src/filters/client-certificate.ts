import type { TLSSocket } from "node:tls";
import { subjectOf } from "@hawser/pki";
import type { Request, UserInfo } from "../request.ts";
import { authenticated } from "../users.ts";

type CertificateUser =
  | { kind: "none" }
  | { kind: "refused"; why: string }
  | { kind: "user"; user: UserInfo; notAfter: number };

/** What was read from a connection's certificate: it is the same for all its requests. */
const known = new WeakMap<object, CertificateUser>();

/**
 * The user of a request's TLS client certificate: its common name, with its organizations as groups.
 *
 * The server must have been made with `requestCert`, `rejectUnauthorized: false` and the client CAs as `ca`:
 * TLS has then checked chain, dates and the clientAuth usage, and said so in `authorized`.
 *
 * Source: kubernetes/apiserver pkg/authentication/request/x509/x509.go
 */
export function clientCertificate(request: Request, now: number = Date.now()): CertificateUser {
  const connection = "stream" in request ? (request.stream.session ?? request.stream) : request.socket;
  let user = known.get(connection);
  if (!user) {
    user = read(("stream" in request ? request.stream.session?.socket : request.socket) as TLSSocket | undefined);
    known.set(connection, user);
  }
  if (user.kind === "user" && now > user.notAfter) return { kind: "refused", why: "certificate has expired" };
  return user;
}

function read(socket: TLSSocket | undefined): CertificateUser {
  const certificate = socket?.getPeerCertificate?.();
  if (!socket || !certificate || Object.keys(certificate).length === 0) return { kind: "none" };
  if (!socket.authorized) return { kind: "refused", why: String(socket.authorizationError ?? "not authorized") };
  const { commonName, organizations } = subjectOf(certificate.subject);
  if (commonName === "") return { kind: "refused", why: "certificate has no common name" };
  return {
    kind: "user",
    user: authenticated({ name: commonName, groups: organizations }),
    notAfter: Date.parse(certificate.valid_to),
  };
}
