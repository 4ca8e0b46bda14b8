import { type Challenge, parseChallenges } from "./challenge.ts";
import { AuthorizationError, unexpectedStatus } from "./errors.ts";
import type { HTTPRequest, HTTPResponse, Transport } from "./transport.ts";

/** Largest token answer, bytes. */
const maxTokenAnswer = 1 << 20;

/** What proves who we are to one registry. */
export type Credentials =
  | { kind: "password"; username: string; password: string }
  /** An OAuth2 refresh token. */
  | { kind: "identityToken"; token: string }
  /** A bearer token ready for use. */
  | { kind: "registryToken"; token: string };

/** Sends requests with what the registry asks for. One per pull and registry, so that tokens never serve another caller. */
export interface Authorizer {
  /** As Transport.request; answers a 401 once with credentials. Throws AuthorizationError when they are missing or refused. */
  request(request: HTTPRequest): Promise<HTTPResponse>;
}

/**
 * Basic and bearer authentication, as registries ask for it by WWW-Authenticate.
 *
 * Source: distribution docs, "Token Authentication Specification" and "Token Authentication via OAuth2"; the texts are
 * containerd's (core/remotes/docker/authorizer.go).
 */
export function createAuthorizer(
  { transport, credentials }: { transport: Transport; credentials?: Credentials | undefined },
  scope: string,
): Authorizer {
  let header: string | undefined = credentials?.kind === "registryToken" ? `Bearer ${credentials.token}` : undefined;
  let pending: Promise<string> | undefined;

  const send = (request: HTTPRequest) =>
    transport.request(
      header === undefined ? request : { ...request, headers: { ...request.headers, Authorization: header } },
    );

  return {
    async request(request) {
      const before = header;
      const response = await send(request);
      // Behind a redirect it is another server's 401: our credentials are not for that one.
      if (response.status !== 401 || response.url.origin !== request.url.origin) return response;
      const challenges = parseChallenges(response.headers["www-authenticate"] ?? "");
      response.body.destroy();
      if (header === before) {
        pending ??= authorize({ transport, credentials }, challenges, request, scope).finally(() => {
          pending = undefined;
        });
        header = await pending;
      }
      const second = await send(request);
      if (second.status !== 401) return second;
      const said = parseChallenges(second.headers["www-authenticate"] ?? "").find(({ parameters }) => parameters.error);
      if (said) {
        second.body.destroy();
        throw new AuthorizationError(`server message: ${said.parameters.error}: authorization failed`);
      }
      return second;
    },
  };
}

async function authorize(
  deps: { transport: Transport; credentials?: Credentials | undefined },
  challenges: Challenge[],
  request: HTTPRequest,
  scope: string,
): Promise<string> {
  const { credentials } = deps;
  for (const { scheme, parameters } of challenges) {
    if (scheme === "bearer") return `Bearer ${await fetchToken(deps, parameters, request, scope)}`;
    if (scheme !== "basic") continue;
    if (credentials?.kind !== "password")
      throw new AuthorizationError("authorization failed: no basic auth credentials");
    return basic(credentials);
  }
  throw new Error("failed to find supported auth scheme: not implemented");
}

async function fetchToken(
  { transport, credentials }: { transport: Transport; credentials?: Credentials | undefined },
  { realm, service, scope: asked }: Record<string, string>,
  { url: registry, signal }: HTTPRequest,
  scope: string,
): Promise<string> {
  if (realm === undefined || !URL.canParse(realm)) throw new Error("no realm specified for token auth challenge");
  const url = new URL(realm);
  if (url.protocol !== "https:" && (url.protocol !== "http:" || registry.protocol !== "http:")) {
    throw new Error(`refusing to ask for a token at ${url.origin}: it is not https`);
  }
  const kind = credentials ? "oauth" : "anonymous";
  try {
    const request = tokenRequest({ url, service, scope: asked ?? scope, credentials });
    const response = await transport.request({ ...request, signal });
    if (response.status < 200 || response.status >= 300) throw await unexpectedStatus(response);
    return tokenOf(await readAll(response));
  } catch (error) {
    signal.throwIfAborted();
    const text = error instanceof Error ? error.message : String(error);
    throw new Error(`failed to authorize: failed to fetch ${kind} token: ${text}`, { cause: error });
  }
}

function tokenRequest({
  url,
  service,
  scope,
  credentials,
}: {
  url: URL;
  service: string | undefined;
  scope: string;
  credentials: Credentials | undefined;
}): Omit<HTTPRequest, "signal"> {
  if (credentials?.kind === "identityToken") {
    const form = new URLSearchParams({
      grant_type: "refresh_token",
      refresh_token: credentials.token,
      client_id: "hawser",
      service: service ?? "",
      scope,
    });
    const headers = { "Content-Type": "application/x-www-form-urlencoded" };
    return { method: "POST", url, headers, body: Buffer.from(form.toString()) };
  }
  if (service !== undefined) url.searchParams.append("service", service);
  url.searchParams.append("scope", scope);
  return {
    method: "GET",
    url,
    headers: credentials?.kind === "password" ? { Authorization: basic(credentials) } : {},
  };
}

async function readAll({ body }: HTTPResponse): Promise<Buffer> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const chunk of body) {
    parts.push(chunk);
    size += chunk.length;
    if (size > maxTokenAnswer) throw new Error("the token answer is too large");
  }
  return Buffer.concat(parts);
}

function tokenOf(body: Buffer): string {
  let answer: { token?: unknown; access_token?: unknown };
  try {
    answer = JSON.parse(body.toString("utf8"));
  } catch (cause) {
    throw new Error("unable to decode token response", { cause });
  }
  const found = answer.access_token || answer.token;
  if (typeof found !== "string" || found === "")
    throw new Error("authorization server did not include a token in the response");
  if (/[^\x21-\x7e]/.test(found)) throw new Error("authorization server sent a malformed token");
  return found;
}

function basic({ username, password }: { username: string; password: string }): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
}
