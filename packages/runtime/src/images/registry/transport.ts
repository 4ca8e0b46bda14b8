import { Agent as HTTPAgent, request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from "node:http";
import { Agent as HTTPSAgent, request as httpsRequest } from "node:https";
import type { Readable } from "node:stream";
import { getCACertificates } from "node:tls";
import { dialErrorText } from "@hawser/streaming";
import { ConnectionError, withoutQuery } from "./errors.ts";
import { isLoopback } from "./loopback.ts";
import { defaultTimeouts, type Timeouts } from "./timeouts.ts";

/** Most redirects followed. Source: Go's net/http, which containerd uses. */
const maxRedirects = 10;
/** Connections kept for the next request, per registry. */
const maxIdleConnections = 4;

export interface HTTPRequest {
  method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH";
  url: URL;
  headers?: Record<string, string>;
  body?: Uint8Array | Readable;
  signal: AbortSignal;
}

export interface HTTPResponse {
  method: string;
  /** Where the answer came from, behind redirects. */
  url: URL;
  status: number;
  /** `404 Not Found`. */
  statusLine: string;
  headers: IncomingHttpHeaders;
  /** To be read to its end, or destroyed. */
  body: IncomingMessage;
}

/** A request on its way; behind a redirect, its URL is not one of ours. */
interface Hop extends HTTPRequest {
  redirected?: true;
}

/** HTTP and HTTPS to registries: connections kept, redirects followed, silence bounded. */
export interface Transport extends Disposable {
  /** Throws ConnectionError in Go's words, or the signal's reason. Any status is an answer. */
  request(request: HTTPRequest): Promise<HTTPResponse>;
}

/**
 * Redirects of GET and HEAD are followed; Authorization goes to no other origin, and nothing leads from https to http.
 * HTTPS_PROXY, HTTP_PROXY and NO_PROXY count, except for this machine's own addresses. The timeouts are read at each request.
 */
export function createTransport(timeouts: Timeouts = defaultTimeouts): Transport {
  const settings = { keepAlive: true, maxFreeSockets: maxIdleConnections };
  const agents = new Map<string, HTTPAgent>();
  const agentFor = (url: URL): HTTPAgent => {
    const secure = url.protocol === "https:";
    const proxy = isLoopback(url.hostname) ? {} : { proxyEnv: process.env };
    const key = `${url.protocol}${isLoopback(url.hostname)}`;
    const known = agents.get(key);
    if (known) return known;
    const fresh = secure
      ? new HTTPSAgent({ ...settings, ...proxy, ca: trusted() })
      : new HTTPAgent({ ...settings, ...proxy });
    agents.set(key, fresh);
    return fresh;
  };

  return {
    async request(request) {
      let current: Hop = request;
      for (let redirects = 0; ; redirects++) {
        const response = await exchange(current, agentFor(current.url), timeouts);
        const location = redirectOf(request.method, response);
        if (location === undefined) return response;
        response.body.destroy();
        if (redirects === maxRedirects) throw failure(current, `stopped after ${maxRedirects} redirects`);
        current = follow(current, location);
      }
    },
    [Symbol.dispose]() {
      for (const agent of agents.values()) agent.destroy();
    },
  };
}

async function exchange(request: Hop, agent: HTTPAgent, timeouts: Timeouts): Promise<HTTPResponse> {
  const { method, url, headers = {}, body, signal } = request;
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const options = { method, agent, signal, headers: { "User-Agent": "hawser", ...headers } };
  const outgoing = url.protocol === "https:" ? httpsRequest(url, options) : httpRequest(url, options);
  const giveUp = (message: string) => outgoing.destroy(failure(request, message));
  let timer = setTimeout(() => giveUp(`dial tcp ${url.host}: i/o timeout`), timeouts.connect);
  const connected = () => {
    clearTimeout(timer);
    timer = setTimeout(() => giveUp("net/http: timeout awaiting response headers"), timeouts.response);
  };
  outgoing.on("socket", (socket) => {
    if (!socket.connecting) connected();
    else socket.once(url.protocol === "https:" ? "secureConnect" : "connect", connected);
  });
  outgoing.on("response", (response) => {
    response.setTimeout(timeouts.idle, () => {
      response.destroy(new ConnectionError(`read tcp ${url.host}: i/o timeout`));
    });
    resolve(response);
  });
  outgoing.on("error", (error) => reject(signal.aborted ? signal.reason : explain(request, error)));
  if (body instanceof Uint8Array || body === undefined) outgoing.end(body);
  else body.on("error", (error) => outgoing.destroy(error)).pipe(outgoing);
  try {
    const response = await promise;
    const status = response.statusCode ?? 0;
    const statusLine = `${status} ${response.statusMessage ?? ""}`.trimEnd();
    return { method, url, status, statusLine, headers: response.headers, body: response };
  } finally {
    clearTimeout(timer);
  }
}

function redirectOf(method: string, { status, headers }: HTTPResponse): string | undefined {
  if (method !== "GET" && method !== "HEAD") return undefined;
  return [301, 302, 303, 307, 308].includes(status) ? headers.location : undefined;
}

function follow(request: Hop, location: string): Hop {
  const url = URL.canParse(location, request.url.href) ? new URL(location, request.url) : undefined;
  if (!url || !/^https?:$/.test(url.protocol)) throw failure(request, "redirected to an invalid location");
  if (request.url.protocol === "https:" && url.protocol === "http:") {
    throw failure(request, `refusing to follow a redirect from https to http (${url.host})`);
  }
  if (url.origin === request.url.origin) return { ...request, url, redirected: true };
  const { Authorization: _, ...headers } = request.headers ?? {};
  return { ...request, url, headers, redirected: true };
}

function explain(request: Hop, error: NodeJS.ErrnoException & { address?: string; port?: number }): Error {
  if (error instanceof ConnectionError) return error;
  const { host, hostname } = request.url;
  const where = error.address ? `${error.address}:${error.port}` : host;
  const texts: Record<string, string> = {
    ENOTFOUND: `dial tcp: lookup ${hostname}: no such host`,
    EAI_AGAIN: `dial tcp: lookup ${hostname}: Temporary failure in name resolution`,
    ECONNRESET: "EOF",
    WRONG_VERSION: "http: server gave HTTP response to HTTPS client",
  };
  const text = texts[codeOf(error)] ?? dialErrorText(error, where) ?? error.message;
  return failure(request, text, error);
}

/** Node tries each of a name's addresses, and then fails with all their errors in one: the first tells enough. */
function codeOf(error: NodeJS.ErrnoException): string {
  const [first] = error instanceof AggregateError ? (error.errors as NodeJS.ErrnoException[]) : [];
  // OpenSSL's own code is only in the text here.
  if (error.code === "EPROTO" && /wrong version number|packet length too long/.test(error.message))
    return "WRONG_VERSION";
  return error.code ?? first?.code ?? "";
}

/** As Go's url.Error prints it: `Head "https://…": …`. */
function failure({ method, url, redirected }: Hop, text: string, cause?: unknown): ConnectionError {
  const verb = method.charAt(0) + method.slice(1).toLowerCase();
  return new ConnectionError(`${verb} "${redirected ? withoutQuery(url) : url.href}": ${text}`, { cause });
}

/** Node's own list of authorities and the machine's. */
function trusted(): string[] {
  return [...new Set([...getCACertificates("default"), ...getCACertificates("system")])];
}
