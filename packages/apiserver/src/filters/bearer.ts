import { isUtf8 } from "node:buffer";
import type { Request } from "../request.ts";
import { headerValues, replaceHeader } from "./headers.ts";

const protocolPrefix = "base64url.bearer.authorization.k8s.io.";

/**
 * The bearer token of an Authorization header. Other schemes, and a scheme without a token, give none.
 *
 * Source: kubernetes/apiserver pkg/authentication/request/bearertoken/bearertoken.go
 */
export function headerToken(request: Request): string | undefined {
  const [scheme = "", token] = (headerValues(request, "authorization")[0] ?? "").trim().split(/ +/, 2);
  return scheme.toLowerCase() === "bearer" && token ? token : undefined;
}

export interface ProtocolToken {
  token: string;
  /** The subprotocols without the token. */
  protocols: string[];
}

/**
 * The bearer token a browser's WebSocket hides among its subprotocols, as it cannot set headers.
 *
 * Throws Error when there is more than one, when it is not base64url without padding of UTF-8,
 * or when no other subprotocol is offered that could be answered.
 *
 * Source: kubernetes/apiserver pkg/authentication/request/websocket/protocol.go
 */
export function protocolToken(request: Request): ProtocolToken | undefined {
  if (request.headers.upgrade?.toLowerCase() !== "websocket") return undefined;
  const offered = headerValues(request, "sec-websocket-protocol").flatMap((line) =>
    line.split(",").map((p) => p.trim()),
  );
  const [encoded, another] = offered.filter((p) => p.startsWith(protocolPrefix));
  if (encoded === undefined) return undefined;
  if (another !== undefined) throw new Error("multiple base64.bearer.authorization tokens specified");
  const token = decode(encoded.slice(protocolPrefix.length));
  const protocols = offered.filter((p) => p !== encoded);
  if (token === "") return undefined;
  if (protocols.length === 0) throw new Error("missing additional subprotocol");
  return { token, protocols };
}

/** Leaves only the real subprotocols in the request: the token must be neither echoed nor forwarded. */
export function removeProtocolToken(request: Request, { protocols }: ProtocolToken): void {
  replaceHeader(request, "Sec-WebSocket-Protocol", protocols.join(","));
}

function decode(text: string): string {
  const bytes = Buffer.from(text, "base64url");
  if (bytes.toString("base64url") !== text) throw new Error("invalid base64.bearer.authorization token encoding");
  if (!isUtf8(bytes)) throw new Error("invalid base64.bearer.authorization token");
  return bytes.toString();
}
