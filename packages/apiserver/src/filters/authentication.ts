import { unauthorized } from "@hawser/api";
import type { Logger } from "@hawser/trace";
import type { Request, UserInfo } from "../request.ts";
import { anonymous } from "../users.ts";
import { headerToken, protocolToken, removeProtocolToken } from "./bearer.ts";
import { clientCertificate } from "./client-certificate.ts";
import { removeHeaders } from "./headers.ts";

/** Whoever cannot say who they are may only ask whether the server lives. */
const openPaths = new Set(["/healthz", "/livez", "/readyz"]);

export interface AuthenticationOptions {
  /** The user of a bearer token; undefined when nobody's. */
  tokenUser(token: string): Promise<UserInfo | undefined>;
  log: Logger;
}

/**
 * Who sends a request: by TLS client certificate, by bearer token, by a token among the WebSocket subprotocols, tried in this order.
 * Takes credentials, and the identity headers only a front proxy may set, out of the request: nothing behind sees them.
 *
 * Throws StatusError 401 when a credential is wrong, or none is given and the path is not one of the health checks.
 *
 * Source: kubernetes/apiserver pkg/endpoints/filters/authentication.go, pkg/authentication/request/union/union.go
 */
export async function authenticate({ tokenUser, log }: AuthenticationOptions, request: Request): Promise<UserInfo> {
  try {
    const user = (await identify(tokenUser, request)) ?? anonymousUser(request);
    if (user) {
      removeHeaders(request, isIdentityHeader);
      return user;
    }
  } catch (error) {
    log.at(2, "Unable to authenticate the request", { error });
  }
  throw unauthorized();
}

/** Undefined when the request has no credential. Throws Error saying what is wrong with those it has. */
async function identify(
  tokenUser: AuthenticationOptions["tokenUser"],
  request: Request,
): Promise<UserInfo | undefined> {
  const certificate = clientCertificate(request);
  if (certificate.kind === "user") return certificate.user;
  const bearer = headerToken(request);
  if (bearer !== undefined) {
    const user = await tokenUser(bearer);
    if (user) return user;
  }
  const hidden = protocolToken(request);
  if (hidden) {
    const user = await tokenUser(hidden.token);
    if (user) {
      removeProtocolToken(request, hidden);
      return user;
    }
  }
  if (certificate.kind === "refused") throw new Error(`x509: ${certificate.why}`);
  if (bearer !== undefined || hidden) throw new Error("invalid bearer token");
  return undefined;
}

function anonymousUser({ url = "", headers }: Request): UserInfo | undefined {
  const [path = ""] = url.split("?", 1);
  return openPaths.has(path) && headers.authorization === undefined ? anonymous : undefined;
}

function isIdentityHeader(name: string): boolean {
  return name === "authorization" || name.startsWith("x-remote-");
}
