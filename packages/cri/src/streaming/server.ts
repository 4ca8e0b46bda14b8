// Step 7 of 8. Before: runtime/src/server/container-exec.ts. After: runtime/src/oci/exec.ts (a client's streams).
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { plainRefusal, refuseUpgrade, type UpgradeRequest } from "@hawser/streaming";
import { silentLogger } from "@hawser/trace";
import { Code, CRIError } from "../errors.ts";
import { RequestCache } from "./request-cache.ts";
import { type Prepared, serveSession } from "./serve-session.ts";
import type { StreamingServer, StreamingServerOptions } from "./types.ts";
import { validateAttach, validateExec, validatePortForward } from "./validate.ts";

/** Connections at once; further ones are closed. */
const maxConnections = 4000;
/** Milliseconds a stopped server's clients have to take the news. */
const stopMs = 1000;

/**
 * Makes the streaming server of a runtime. It listens after start(), on loopback unless told otherwise; who comes without
 * a token of the last minute gets a 404, and a token opens one session.
 *
 * Source: kubernetes/cri-streaming pkg/streaming/server.go
 */
export function createStreamingServer(options: StreamingServerOptions): StreamingServer {
  const { runtime, address = "127.0.0.1", port = 0, log = silentLogger } = options;
  const { idleTimeoutMs, streamCreationTimeoutMs, pingIntervalMs } = options;
  const timeouts = () => ({
    ...(idleTimeoutMs !== undefined && {
      idleTimeoutMs: typeof idleTimeoutMs === "function" ? idleTimeoutMs() : idleTimeoutMs,
    }),
    ...(streamCreationTimeoutMs !== undefined && { streamCreationTimeoutMs }),
    ...(pingIntervalMs !== undefined && { pingIntervalMs }),
  });
  const sessions = { exec: 0, attach: 0, portforward: 0 };
  const cache = new RequestCache<Prepared>(options.now ? { now: options.now } : {});
  const stopping = new AbortController();
  const sockets = new Set<Duplex>();
  const server = createServer();
  server.maxConnections = maxConnections;

  const url = (prepared: Prepared) => {
    const listening = server.address() as AddressInfo | null;
    if (!listening) throw new CRIError(Code.Unavailable, "the streaming server does not listen");
    const host = listening.family === "IPv6" ? `[${listening.address}]` : listening.address;
    return { url: `http://${host}:${listening.port}/${prepared.kind}/${cache.insert(prepared)}` };
  };

  const serve = (upgrade: UpgradeRequest) => {
    const prepared = consume(cache, upgrade.request);
    if (!prepared) return refuseUpgrade(upgrade, plainRefusal(404, "404 page not found"));
    sessions[prepared.kind]++;
    serveSession({ runtime, timeouts: timeouts(), signal: stopping.signal }, prepared, upgrade)
      .catch((error: unknown) => {
        log.at(2, "streaming session ended early", { kind: prepared.kind, error });
      })
      .finally(() => {
        sessions[prepared.kind]--;
      });
  };

  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  server.on("upgrade", (request, socket, head) => serve({ request, socket, head }));
  server.on("request", (request, response) => {
    // No upgrade asked for: the same answers, and the same end of the token.
    const { socket } = request;
    response.detachSocket(socket);
    serve({ request, socket, head: Buffer.alloc(0) });
  });

  const stop = async () => {
    stopping.abort();
    if (!server.listening) return;
    server.close();
    const timer = setTimeout(() => {
      for (const socket of sockets) socket.destroy();
    }, stopMs);
    server.closeIdleConnections();
    await once(server, "close");
    clearTimeout(timer);
  };

  return {
    getExec(request) {
      validateExec(request);
      return url({ kind: "exec", request });
    },
    getAttach(request) {
      validateAttach(request);
      return url({ kind: "attach", request });
    },
    getPortForward(request) {
      validatePortForward(request);
      return url({ kind: "portforward", request });
    },
    async start(stayUp = false) {
      server.listen(port, address);
      await once(server, "listening");
      // A connection that cannot be accepted for want of memory: the others are no worse for it.
      server.on("error", (error) => log.error("streaming server cannot accept a connection", { error }));
      if (stayUp) await once(server, "close");
    },
    stop,
    load: () => ({ tokens: cache.size, sessions: { ...sessions } }),
    serve,
    [Symbol.asyncDispose]: stop,
  };
}

/** The prepared request a URL stands for. Its token is used up, also when it is of another kind. */
function consume(cache: RequestCache<Prepared>, { method, url = "" }: IncomingMessage): Prepared | undefined {
  const [, kind, token] = /^\/(exec|attach|portforward)\/([A-Za-z0-9_-]+)(?:\?.*)?$/.exec(url) ?? [];
  if (!kind || !token || (method !== "GET" && method !== "POST")) return undefined;
  const prepared = cache.consume(token);
  return prepared?.kind === kind ? prepared : undefined;
}
