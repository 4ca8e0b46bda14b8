import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { badRequest, failure, type StatusError, tooManyRequests } from "@hawser/api";
import { refuseUpgrade } from "@hawser/streaming";
import { expositionType, type Logger, type Metrics } from "@hawser/trace";
import { discovery } from "./discovery/discovery.ts";
import { openAPI } from "./discovery/openapi.ts";
import { version } from "./discovery/version.ts";
import { dispatch } from "./endpoints/dispatch.ts";
import type { EndpointDeps } from "./endpoints/target.ts";
import { requestLog } from "./http/log.ts";
import { type Answer, jsonAnswer, pageNotFound, send, statusAnswer, statusOf, textAnswer } from "./http/respond.ts";
import type { Request, RequestContext, RequestInfo, Response } from "./request.ts";
import { requestInfo } from "./request-info.ts";

/** A request that is no watch, log or session is answered within this time; kube-apiserver's --request-timeout. Milliseconds. */
const requestTimeout = 60_000;
/** Requests under way at once that are no watches or sessions; kube-apiserver's two limits together. More are told to come again. */
const maxInFlight = 600;
const streamingSubresources = new Set(["exec", "attach", "portforward", "log", "proxy"]);

export interface HandlerDeps extends EndpointDeps {
  log: Logger;
  metrics: Metrics;
  /** Aborted when the server stops. */
  stopped: AbortSignal;
  /** Rejects while the server cannot serve. */
  healthy: () => Promise<void>;
}

export interface Handler {
  request(request: Request, response: Response): void;
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
}

/** From a request to its answer: who, what, may they, do it. */
export function createHandler(deps: HandlerDeps): Handler {
  const load = { inFlight: 0 };
  return {
    request(request, response) {
      serve({ ...deps, load }, request, response).catch((error: unknown) => {
        deps.log.error("request failed after its answer began", { URI: request.url ?? "", error });
        response.destroy();
      });
    },
    upgrade(request, socket, head) {
      serveUpgrade(deps, { request, socket, head }).catch((error: unknown) => {
        deps.log.error("upgrade failed", { URI: request.url ?? "", error });
        socket.destroy();
      });
    },
  };
}

interface Load {
  inFlight: number;
}

async function serve(deps: HandlerDeps & { load: Load }, request: Request, response: Response): Promise<void> {
  const { log, metrics, stopped, load } = deps;
  const logged = requestLog(log, request);
  const start = performance.now();
  const gone = new AbortController();
  response.once("close", () => gone.abort(new Error("the client is gone")));
  let verb = "unknown";
  try {
    const url = urlOf(request);
    const info = requestInfo(request.method ?? "GET", url);
    verb = info.verb;
    const long = isLong(info);
    if (!long && load.inFlight >= maxInFlight) throw tooManyRequests("Too many requests, please try again later.", 1);
    using _counted = counted(load, long);
    const deadline = long ? [] : [AbortSignal.timeout(requestTimeout)];
    const signal = AbortSignal.any([gone.signal, stopped, ...deadline]);
    const answer = await answered(deps, { info, url, request, response, signal, log });
    if (answer) send(response, request.method === "HEAD" ? { ...answer, body: "" } : answer);
  } catch (error) {
    if (response.headersSent) throw error;
    const status = statusOf(timeoutOf(error));
    if ((status.code ?? 500) >= 500) log.warn("request failed", { URI: request.url ?? "", error });
    send(response, statusAnswer(status));
  } finally {
    logged.ended(response.statusCode);
    metrics.record(verb, (performance.now() - start) / 1000, response.statusCode >= 500);
  }
}

async function answered(deps: HandlerDeps, asked: Omit<RequestContext, "user">): Promise<Answer | undefined> {
  const user = await deps.access.authenticate(asked.request);
  await deps.access.authorize(user, asked.info);
  asked.signal.throwIfAborted();
  const context = { ...asked, user };
  return asked.info.isResourceRequest ? dispatch(deps, context) : plainPath(deps, context);
}

async function plainPath({ healthy, metrics }: HandlerDeps, { info, request }: RequestContext): Promise<Answer> {
  if (info.verb !== "get" && info.verb !== "head") return pageNotFound;
  const path = info.path.replace(/\/+$/, "") || "/";
  const headers = { accept: request.headers.accept, "if-none-match": request.headers["if-none-match"] };
  const found = discovery(path, headers) ?? openAPI(path, headers);
  if (found) return found;
  switch (path) {
    case "/healthz":
    case "/livez":
    case "/readyz":
      return health(healthy, path);
    case "/version":
      return jsonAnswer(version);
    case "/metrics":
      return { ...textAnswer(metrics.expose()), contentType: expositionType };
    case "/":
      return jsonAnswer({
        paths: [
          "/api",
          "/api/v1",
          "/apis",
          "/healthz",
          "/livez",
          "/metrics",
          "/openapi/v2",
          "/openapi/v3",
          "/readyz",
          "/version",
        ],
      });
  }
  return pageNotFound;
}

async function health(healthy: () => Promise<void>, path: string): Promise<Answer> {
  try {
    await healthy();
    return textAnswer("ok");
  } catch (error) {
    return textAnswer(`${path.slice(1)} check failed: ${error instanceof Error ? error.message : error}\n`, 500);
  }
}

interface Upgrade {
  request: IncomingMessage;
  socket: Duplex;
  head: Buffer;
}

async function serveUpgrade(deps: HandlerDeps, upgrade: Upgrade): Promise<void> {
  const { request, socket } = upgrade;
  const logged = requestLog(deps.log, request);
  const gone = new AbortController();
  socket.on("error", () => {}); // a client that breaks off: "close" follows
  socket.once("close", () => gone.abort(new Error("the client is gone")));
  const signal = AbortSignal.any([gone.signal, deps.stopped]);
  try {
    const url = urlOf(request);
    const info = requestInfo(request.method ?? "GET", url);
    const user = await deps.access.authenticate(request);
    await deps.access.authorize(user, info);
    const subresource = streamOf(info);
    if (!subresource) throw badRequest("this request cannot be upgraded");
    const context = { info, user, request, url, signal, log: deps.log };
    await deps.metrics.measure(subresource, () => deps.pods.connectPod(subresource, context, upgrade)); // timed to the session's end
    logged.ended(101);
  } catch (error) {
    const { code, contentType, body, headers = {} } = statusAnswer(statusOf(error));
    logged.ended(code);
    refuseUpgrade(upgrade, { statusCode: code, contentType, body: String(body), headers });
  }
}

function streamOf({ apiGroup, apiVersion, resource, subresource, name }: RequestInfo) {
  if (apiGroup !== "" || apiVersion !== "v1" || resource !== "pods" || name === "") return undefined;
  return subresource === "exec" || subresource === "attach" || subresource === "portforward" ? subresource : undefined;
}

function urlOf(request: Request): URL {
  try {
    return new URL(request.url ?? "/", "https://localhost");
  } catch (cause) {
    throw badRequest("invalid URL", cause);
  }
}

function counted(load: Load, long: boolean): Disposable {
  if (!long) load.inFlight++;
  return { [Symbol.dispose]: () => void (long || load.inFlight--) };
}

function isLong({ verb, subresource, resource }: RequestInfo): boolean {
  return verb === "watch" || ((resource === "pods" || resource === "nodes") && streamingSubresources.has(subresource));
}

function timeoutOf(error: unknown): unknown {
  if (!(error instanceof DOMException && error.name === "TimeoutError")) return error;
  return timedOut(error);
}

function timedOut(cause: unknown): StatusError {
  return failure({
    code: 504,
    reason: "Timeout",
    message: `Timeout: request did not complete within the allotted timeout`,
    details: {},
    cause,
  });
}
