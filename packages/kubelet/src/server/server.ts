import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import https from "node:https";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { refuseUpgrade } from "@hawser/streaming";
import { expositionType } from "@hawser/trace";
import type { KubeletContext } from "../context.ts";
import type { PodManager } from "../pods/manager.ts";
import { createGate } from "./auth.ts";
import { attach, exec, portForward, refusePlain } from "./exec.ts";
import { HTTPError, httpError } from "./http-error.ts";
import { containerLogs } from "./logs.ts";
import { configz, listPods, listRunningPods } from "./pods.ts";
import { checkMethod, parseRoute, permissionFor, type Route } from "./routes.ts";
import { run } from "./run.ts";

/** Connections at once; more wait unaccepted. */
const maxConnections = 2000;
/** Milliseconds for which an idle connection is kept, as the real kubelet's IdleTimeout. */
const idleMs = 90_000;
/** Of a request's line and headers, bytes, as in Go: an exec's command comes in its URL. */
const maxHeaderSize = 1024 * 1024;

export interface ServingCertificate {
  certPEM: string;
  keyPEM: string;
  /** Signs the certificates of callers. Without it, only tokens let in. */
  clientCA?: string | undefined;
}

export interface KubeletServer extends AsyncDisposable {
  port: number;
}

/** Serves the kubelet's API over TLS: each request is authenticated and authorised before anything else. */
export async function startServer(
  context: KubeletContext,
  { pods, certificate }: { pods: PodManager; certificate: ServingCertificate },
): Promise<KubeletServer> {
  const { settings, runtime, runtimeName, log, metrics } = context;
  const gate = createGate(context);
  const nextHop = runtimeName === "hawser" ? "websocket" : "spdy";
  const timeouts = {
    idleTimeoutMs: settings.streamingConnectionIdleTimeout,
    peerTimeoutMs: settings.streamPeerTimeout,
  };
  const streaming = { pods, runtime, nextHop, timeouts, log } as const;

  async function admitted(request: IncomingMessage): Promise<{ route: Route; query: URLSearchParams }> {
    const url = new URL(request.url ?? "/", "https://kubelet");
    const method = request.method ?? "GET";
    // Whoever may not ask is not told what there is.
    const route = parseRoute(url.pathname);
    const user = await gate.admit(request, permissionFor(route, method));
    if (!route) throw new HTTPError(404, "404 page not found");
    checkMethod(route, method);
    log.at(4, "request", { method, path: url.pathname, user: user.name, address: request.socket.remoteAddress });
    return { route, query: url.searchParams };
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { route, query } = await admitted(request);
    switch (route.type) {
      case "exec":
      case "attach":
      case "portForward":
        return refusePlain({ pods }, { ...route, query });
      case "run":
        return run({ pods, runtime }, { request, response }, { ...route, query });
      case "containerLogs":
        return containerLogs({ pods, folders: context.folders }, response, { ...route, query });
      case "pods":
        return json(response, listPods(pods));
      case "runningpods":
        return json(response, listRunningPods(pods));
      case "configz":
        return json(response, configz(settings));
      case "metrics":
        return text(response, metrics.expose(), expositionType);
      case "healthz":
        return text(response, "ok");
    }
  }

  async function upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const { route, query } = await admitted(request);
    const upgraded = { request, socket, head };
    if (route.type === "exec") return exec(streaming, upgraded, { ...route, query });
    if (route.type === "attach") return attach(streaming, upgraded, { ...route, query });
    if (route.type === "portForward") return portForward(streaming, upgraded, { ...route, query });
    throw new HTTPError(400, "this path cannot be upgraded");
  }

  const server = https.createServer({
    cert: certificate.certPEM,
    key: certificate.keyPEM,
    ...(certificate.clientCA && { ca: certificate.clientCA, requestCert: true, rejectUnauthorized: false }),
    minVersion: "TLSv1.2",
    maxHeaderSize,
    // The kernel asks after idle callers, so that those that vanished without a word hold nothing.
    keepAlive: true,
    keepAliveInitialDelay: 15_000,
    keepAliveTimeout: idleMs,
  });
  server.maxConnections = maxConnections;
  server.on("request", (request, response) => {
    metrics
      .measure(operationName("http", request), () => answer(request, response))
      .catch((error: unknown) => refuse(response, httpError(error), log));
  });
  server.on("upgrade", (request, socket: TLSSocket, head) => {
    const before = socket.bytesWritten; // by earlier requests on a kept-alive connection
    socket.on("error", () => undefined); // told to whoever reads or writes
    metrics
      .measure(operationName("upgrade", request), () => upgrade(request, socket, head))
      .catch((error: unknown) => {
        const { code, message, headers } = httpError(error);
        log.at(2, "upgrade refused", { path: request.url?.split("?")[0], code, message });
        if (socket.destroyed || socket.bytesWritten > before) return; // it has had its answer
        const refusal = { statusCode: code, contentType: "text/plain; charset=utf-8", body: `${message}\n`, headers };
        refuseUpgrade({ request, socket, head }, refusal);
      });
  });
  // Upgraded connections are no longer the server's: they end with it all the same.
  const connections = new Set<TLSSocket>();
  server.on("secureConnection", (socket) => {
    connections.add(socket);
    socket.once("close", () => connections.delete(socket));
  });
  server.on("tlsClientError", (error, socket) => {
    log.at(4, "TLS handshake", { address: socket.remoteAddress, error });
  });
  server.listen(settings.port, settings.address);
  await Promise.race([once(server, "listening"), once(server, "error").then(([error]) => Promise.reject(error))]);
  server.on("error", (error) => log.error("server", { error }));
  const { port } = server.address() as AddressInfo; // it listens on TCP
  return {
    port,
    async [Symbol.asyncDispose]() {
      server.close();
      for (const socket of connections) socket.destroy();
    },
  };
}

function refuse(
  response: ServerResponse,
  { code, message, headers, cause }: HTTPError,
  log: KubeletContext["log"],
): void {
  log.at(2, "request refused", { code, message, ...(cause instanceof Error && { cause }) });
  if (response.headersSent) {
    response.destroy();
    return;
  }
  response.writeHead(code, {
    "Content-Type": "text/plain; charset=utf-8",
    "X-Content-Type-Options": "nosniff",
    ...headers,
  });
  response.end(`${message}\n`);
}

/** What a request is counted as; a path that does not exist makes no name of its own. */
function operationName(kind: string, { url = "/" }: IncomingMessage): string {
  const route = parseRoute(url.split("?")[0] ?? "/");
  return `${kind} ${route?.type ?? "other"}`;
}

function json(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { "Content-Type": "application/json" });
  response.end(JSON.stringify(value));
}

function text(response: ServerResponse, value: string, type = "text/plain; charset=utf-8"): void {
  response.writeHead(200, { "Content-Type": type });
  response.end(value);
}
