// Step 2 of the path, its plain half: requests and watches. Its streams are in remotecommand.ts.
import type { Agent, IncomingHttpHeaders, IncomingMessage } from "node:http";
import type { KubernetesObject, List, WatchEvent } from "@hawser/api";
import { StatusError } from "@hawser/api";
import { defaultPeerTimeoutMs } from "@hawser/streaming/peer-timeout";
import { answerError, isStatus } from "./answer.ts";
import { bodyOf, isSystemError, parseJSON, readText } from "./body.ts";
import { now } from "./clock.ts";
import type { ClusterConfig, HeaderLines } from "./config/cluster-config.ts";
import { ConnectionError, connectionError } from "./connection-error.ts";
import { type Query, queryString } from "./query.ts";
import { named, pathOf, type ResourceRef } from "./ref.ts";
import { createTransport } from "./transport.ts";
import { watch } from "./watch.ts";

/** Bytes of one answer that is read as a whole. */
const defaultMaxAnswerBytes = 256 * 1024 * 1024;
/** Bytes read of an error answer's body. */
const maxErrorBytes = 64 * 1024;

export interface RequestOptions {
  method: string;
  /** Absolute, below the server's own path: `/api/v1/nodes`. */
  path: string;
  query?: Query | undefined;
  /** Sent as JSON; a string or bytes go as they are. */
  body?: unknown;
  contentType?: string | undefined;
  accept?: string | undefined;
  signal?: AbortSignal | undefined;
  /** Milliseconds for the whole exchange; 0 for none. Default: the client's. */
  timeoutMs?: number | undefined;
  /**
   * Whether it may reach the server twice, so that it is sent again where an idle connection breaks off under it. Where absent: a GET or HEAD. A question
   * that is a POST (a review) may, too.
   */
  repeatable?: boolean | undefined;
}

export interface StreamOptions {
  method: string;
  path: string;
  query?: Query | undefined;
  accept?: string | undefined;
  /** As for RequestOptions. */
  repeatable?: boolean | undefined;
  signal?: AbortSignal | undefined;
}

export interface ListOptions {
  labelSelector?: string | undefined;
  fieldSelector?: string | undefined;
  limit?: number | undefined;
  continue?: string | undefined;
  resourceVersion?: string | undefined;
  resourceVersionMatch?: "Exact" | "NotOlderThan" | undefined;
  timeoutSeconds?: number | undefined;
  signal?: AbortSignal | undefined;
}

export interface WatchOptions extends ListOptions {
  allowWatchBookmarks?: boolean | undefined;
  sendInitialEvents?: boolean | undefined;
}

export interface WriteOptions {
  fieldManager?: string | undefined;
  fieldValidation?: "Ignore" | "Warn" | "Strict" | undefined;
  dryRun?: "All" | undefined;
  /** Server-side apply only: take over fields others manage. */
  force?: boolean | undefined;
  signal?: AbortSignal | undefined;
}

export interface PatchOptions extends WriteOptions {
  type: "json" | "merge" | "strategic" | "apply";
}

export interface DeleteOptions {
  gracePeriodSeconds?: number | undefined;
  propagationPolicy?: "Orphan" | "Background" | "Foreground" | undefined;
  preconditions?: { uid?: string; resourceVersion?: string } | undefined;
  dryRun?: "All" | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * A connection to one API server. Every method throws StatusError for an answer that says no,
 * ConnectionError when no answer came, CredentialError when we could not say who we are,
 * and the signal's reason on abort.
 */
export interface KubeClient extends AsyncDisposable {
  readonly config: ClusterConfig;
  /** The answer's JSON; its text where it is not JSON. */
  request(options: RequestOptions): Promise<unknown>;
  /** An answer that is read as it comes. Leaving the body's loop, or abort, closes the connection. */
  stream(
    options: StreamOptions,
  ): Promise<{ statusCode: number; headers: IncomingHttpHeaders; body: AsyncIterable<Uint8Array> }>;
  get<T extends KubernetesObject>(ref: ResourceRef, options?: { signal?: AbortSignal | undefined }): Promise<T>;
  list<T extends KubernetesObject>(ref: ResourceRef, options?: ListOptions): Promise<List<T>>;
  create<T extends KubernetesObject>(ref: ResourceRef, object: T, options?: WriteOptions): Promise<T>;
  update<T extends KubernetesObject>(ref: ResourceRef, object: T, options?: WriteOptions): Promise<T>;
  patch<T extends KubernetesObject>(ref: ResourceRef, patch: unknown, options: PatchOptions): Promise<T>;
  /** The object as it is while it goes, or a Status. */
  delete<T extends KubernetesObject>(ref: ResourceRef, options?: DeleteOptions): Promise<T>;
  /**
   * Events as they come, until the server ends the watch or `signal` is aborted (which ends it without an error).
   * An ERROR event is given, not thrown. Nothing is retried: `informer` does that.
   */
  watch<T extends KubernetesObject>(ref: ResourceRef, options?: WatchOptions): AsyncIterable<WatchEvent<T>>;
}

/** What the client's own files need of it besides: the agent to upgrade on, see Transport.recentAgent. */
export const recentAgents = new WeakMap<object, () => Agent | undefined>();

export interface ClientOptions {
  userAgent?: string;
  /** Milliseconds for one `request`; 0 for none. Default 60000. */
  timeoutMs?: number;
  maxAnswerBytes?: number;
  /**
   * Milliseconds for which a watch may be quiet until its server is asked whether it is there, and for which it may leave that unanswered: the watch is lost
   * then. Default 30000; 0 for never.
   */
  peerTimeoutMs?: number;
  /** Called with the text of each Warning header. */
  onWarning?: (text: string) => void;
  /** Called once per request that was sent, when its answer's head came. */
  onAnswer?: (answer: { method: string; url: string; statusCode: number; milliseconds: number }) => void;
}

const patchTypes = {
  json: "application/json-patch+json",
  merge: "application/merge-patch+json",
  strategic: "application/strategic-merge-patch+json",
  apply: "application/apply-patch+yaml",
};

/** Opens no connection yet. Connections are kept alive between requests; disposing closes them. */
export function createClient(config: ClusterConfig, options: ClientOptions = {}): KubeClient {
  const {
    timeoutMs: defaultTimeoutMs = 60_000,
    maxAnswerBytes = defaultMaxAnswerBytes,
    peerTimeoutMs = defaultPeerTimeoutMs,
  } = options;
  const userAgent = options.userAgent ?? `hawser/0.1.0 (${process.platform}/${process.arch})`;
  const transport = createTransport(config);

  /** The answer's head, its code being 2xx; after a 401, once more with fresh credentials. */
  async function answer(
    { method, path, query, accept = "application/json", repeatable, signal }: StreamOptions,
    body?: { content: string | Uint8Array; type: string },
  ): Promise<IncomingMessage> {
    const search = queryString(query);
    for (let attempt = 0; ; attempt++) {
      const identity = await config.headers({ stale: attempt > 0, ...(signal && { signal }) });
      const started = now();
      const message = await transport.send({
        method,
        path: search ? `${path}?${search}` : path,
        headers: {
          Accept: accept,
          "User-Agent": userAgent,
          ...(body && { "Content-Type": body.type, "Content-Length": String(Buffer.byteLength(body.content)) }),
          ...identity,
        },
        body: body?.content,
        repeatable,
        signal,
      });
      const statusCode = message.statusCode ?? 0;
      const milliseconds = now() - started;
      options.onAnswer?.({
        method,
        url: new URL(path, config.server).href + (search && `?${search}`),
        statusCode,
        milliseconds,
      });
      if (options.onWarning) for (const text of warnings(message.headers)) options.onWarning(text);
      if (statusCode >= 200 && statusCode < 300) return message;
      const error = answerError(statusCode, await readText(message, maxErrorBytes, { cut: true }).catch(() => ""));
      if (statusCode !== 401 || attempt > 0 || !sameIdentityMayChange(identity)) throw error;
    }
  }

  async function request({ timeoutMs = defaultTimeoutMs, ...rest }: RequestOptions): Promise<unknown> {
    const limit = timeoutMs > 0 ? AbortSignal.timeout(timeoutMs) : undefined;
    const signal = limit && rest.signal ? AbortSignal.any([limit, rest.signal]) : (limit ?? rest.signal);
    try {
      const message = await answer({ ...rest, signal }, encode(rest.body, rest.contentType));
      const text = await readText(message, maxAnswerBytes);
      if (!/\bjson\b/.test(message.headers["content-type"] ?? "")) return text;
      const value = parseJSON(text);
      if (isStatus(value) && value.status === "Failure") throw new StatusError(value);
      return value;
    } catch (error) {
      if (limit?.aborted && !rest.signal?.aborted) throw timedOut(config.server, timeoutMs, error);
      rest.signal?.throwIfAborted();
      if (error instanceof StatusError || error instanceof ConnectionError || !isSystemError(error)) throw error;
      throw connectionError(error, config.server);
    }
  }

  async function stream(options: StreamOptions) {
    const message = await answer({ accept: "*/*", ...options });
    return { statusCode: message.statusCode ?? 0, headers: message.headers, body: bodyOf(message, config.server) };
  }

  // `T` is the caller's word for what the server holds at `ref`; nothing here checks it.
  const client: KubeClient = {
    config,
    request,
    stream,
    get: async <T>(ref: ResourceRef, { signal }: { signal?: AbortSignal | undefined } = {}) =>
      (await request({ method: "GET", path: pathOf(named(ref)), signal })) as T,
    list: async <T extends KubernetesObject>(ref: ResourceRef, { signal, ...query }: ListOptions = {}) => {
      const list = (await request({ method: "GET", path: pathOf(ref), query, signal })) as List<T>;
      return { ...list, items: list.items ?? [] };
    },
    create: async <T>(ref: ResourceRef, object: T, { signal, ...query }: WriteOptions = {}) =>
      (await request({ method: "POST", path: pathOf(ref), query, body: object, signal })) as T,
    update: async <T>(ref: ResourceRef, object: T, { signal, ...query }: WriteOptions = {}) =>
      (await request({ method: "PUT", path: pathOf(named(ref)), query, body: object, signal })) as T,
    patch: async <T>(ref: ResourceRef, patch: unknown, { signal, type, ...query }: PatchOptions) => {
      const path = pathOf(named(ref));
      return (await request({ method: "PATCH", path, query, body: patch, contentType: patchTypes[type], signal })) as T;
    },
    delete: async <T>(ref: ResourceRef, { signal, ...options }: DeleteOptions = {}) => {
      const { dryRun, ...rest } = options;
      const given = Object.values(rest).some((value) => value !== undefined) || dryRun;
      const body = given
        ? { kind: "DeleteOptions", apiVersion: "v1", ...rest, ...(dryRun && { dryRun: [dryRun] }) }
        : undefined;
      return (await request({ method: "DELETE", path: pathOf(named(ref)), body, signal })) as T;
    },
    watch: <T extends KubernetesObject>(ref: ResourceRef, options: WatchOptions = {}) =>
      watch<T>({ client, peerTimeoutMs }, ref, options),
    [Symbol.asyncDispose]: () => transport[Symbol.asyncDispose](),
  };
  recentAgents.set(client, transport.recentAgent);
  return client;
}

function encode(body: unknown, type = "application/json"): { content: string | Uint8Array; type: string } | undefined {
  if (body === undefined) return undefined;
  if (typeof body === "string" || body instanceof Uint8Array) return { content: body, type };
  return { content: JSON.stringify(body), type };
}

/** A second try is worth it only where the credentials were of a kind that is renewed. */
function sameIdentityMayChange(identity: HeaderLines): boolean {
  return Object.keys(identity).some((name) => name.toLowerCase() === "authorization");
}

function timedOut(server: URL, timeoutMs: number, cause: unknown): ConnectionError {
  const words = `net/http: request canceled: no answer from ${server.host} within ${timeoutMs / 1000}s (Client.Timeout exceeded while awaiting headers)`;
  return new ConnectionError(`Unable to connect to the server: ${words}`, { kind: "timeout", unsent: false, cause });
}

/** The texts of `299 - "text"` values. Source: RFC 7234 section 5.5; apimachinery pkg/util/net ParseWarningHeaders */
function* warnings(headers: IncomingHttpHeaders): Generator<string> {
  const value = headers.warning;
  if (typeof value !== "string") return;
  for (const [, text = ""] of value.matchAll(/299 \S+ "((?:[^"\\]|\\.)*)"/g)) yield text.replace(/\\(.)/g, "$1");
}
