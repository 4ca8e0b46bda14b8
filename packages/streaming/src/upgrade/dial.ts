import http, { type IncomingMessage } from "node:http";
import https from "node:https";
import type { Duplex } from "node:stream";
import type { Status } from "@hawser/api";
import { UpgradeError } from "../errors.ts";
import type { DialTarget, UpgradedConnection } from "./types.ts";

/** Milliseconds from the start of a dial to the answer's headers. */
const defaultTimeoutMs = 30_000;
/** Milliseconds that reading a refusal's body may take. */
const refusalMs = 10_000;
/** Bytes of a refusal's body that are read. */
const maxRefusalBytes = 64 * 1024;

/** TLS sessions are remembered per server, credentials and CA, which saves the next dial a round trip's arithmetic. */
const tlsAgent = new https.Agent({ keepAlive: false, maxCachedSessions: 100 });

/** The options of node's request() that a target stands for. */
export function requestOptions({ url, headers, tls, localAddress, agent: given }: DialTarget): https.RequestOptions {
  const secure = url.protocol !== "http:";
  // A session is remembered without its identity check: a caller that brings its own gets a fresh handshake.
  const agent = given ?? (secure && !tls?.checkServerIdentity ? tlsAgent : false);
  return {
    ...(secure && tls),
    agent,
    headers: { ...headers },
    ...(localAddress && { localAddress }),
    ALPNProtocols: ["http/1.1"],
  } as https.RequestOptions;
}

/** What came of an upgrade request: a connection, or an ordinary answer whose body is still to be read. */
export type UpgradeAnswered =
  | { upgraded: true; response: IncomingMessage; socket: Duplex; head: Buffer }
  | { upgraded: false; response: IncomingMessage };

/**
 * Sends an upgrade request. Redirects are never followed. Throws the signal's reason when aborted, and the socket's error
 * when there is no answer.
 */
export function requestUpgrade(target: DialTarget & { method: "GET" | "POST" }): Promise<UpgradeAnswered> {
  const { promise, resolve, reject } = Promise.withResolvers<UpgradeAnswered>();
  target.signal?.throwIfAborted();
  const module = target.url.protocol === "http:" ? http : https;
  const request = module.request(target.url, { ...requestOptions(target), method: target.method });
  const release = watchDial(target, (reason) => {
    reject(reason);
    request.destroy();
  });
  request.on("upgrade", (response: IncomingMessage, socket: Duplex, head: Buffer) => {
    release();
    resolve({ upgraded: true, response, socket, head });
  });
  request.on("response", (response) => {
    release();
    request.shouldKeepAlive = false; // nobody may use what a refused upgrade leaves behind
    resolve({ upgraded: false, response });
  });
  request.on("error", (cause) => {
    release();
    reject(cause);
  });
  request.end();
  return promise;
}

/**
 * Sends an upgrade request and hands over the connection once it was answered with 101.
 *
 * Throws UpgradeError for any other answer, and what requestUpgrade() throws.
 */
export async function dialUpgrade(target: DialTarget & { method: "GET" | "POST" }): Promise<UpgradedConnection> {
  const answer = await requestUpgrade(target);
  if (answer.upgraded) return { socket: answer.socket, head: answer.head, headers: answer.response.headers };
  throw await refusalOf(answer.response);
}

/** Gives a dial its deadline and its signal: `give` is called with why it is given up. Returns what calls both off. */
export function watchDial(
  { signal, timeoutMs = defaultTimeoutMs, url }: DialTarget,
  give: (reason: unknown) => void,
): () => void {
  const expire = () => {
    release();
    const late = new Error(`no answer from ${url.host} within ${timeoutMs} ms`);
    give(Object.assign(late, { code: "ERR_DIAL_TIMEOUT" })); // as the socket's own errors have one
  };
  const onAbort = () => {
    release();
    give(signal?.reason);
  };
  const timer = setTimeout(expire, timeoutMs);
  const release = () => {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  };
  signal?.addEventListener("abort", onAbort, { once: true });
  return release;
}

/** The error an answer other than 101 stands for. Reads at most 64 KiB of its body. */
export async function refusalOf(response: IncomingMessage): Promise<UpgradeError> {
  const { statusCode = 0, headers } = response;
  const chunks: Buffer[] = [];
  let length = 0;
  const timer = setTimeout(() => response.destroy(), refusalMs);
  try {
    for await (const chunk of response) {
      chunks.push(chunk);
      length += chunk.length;
      if (length >= maxRefusalBytes) break;
    }
  } catch {
    // A body cut short is still the best account there is of why.
  }
  clearTimeout(timer);
  response.destroy();
  const body = Buffer.concat(chunks).subarray(0, maxRefusalBytes).toString("utf8");
  const status = parseStatus(body);
  const why = status?.message ?? (body.trim() || `the server answered ${statusCode}`);
  return new UpgradeError(status ? why : `unable to upgrade connection: ${why}`, { statusCode, headers, body, status });
}

function parseStatus(body: string): Status | undefined {
  try {
    const value: unknown = JSON.parse(body);
    const isStatus =
      typeof value === "object" && value !== null && "kind" in value && value.kind === "Status" && "status" in value;
    return isStatus ? (value as Status) : undefined;
  } catch {
    return undefined;
  }
}
