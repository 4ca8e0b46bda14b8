import type { Agent, ClientRequest, IncomingMessage, RequestOptions } from "node:http";
import { setImmediate as nextTurn } from "node:timers/promises";
import { now } from "./clock.ts";
import type { ClusterConfig, HeaderLines } from "./config/cluster-config.ts";
import { ConnectionError, connectionError } from "./connection-error.ts";

/** Milliseconds for a connection with its TLS handshake to come up; client-go's dial timeout. */
const connectTimeoutMs = 30_000;
/** Milliseconds after an answer in which a server does not close a connection for being idle. */
const recentMs = 1_000;
/** Idle connections kept for the next request; more are closed when their answer has been read. */
const maxIdleConnections = 16;
/**
 * Milliseconds for which an idle connection is kept; where its server's `Keep-Alive: timeout` says less, until a second before that. A request that is on its
 * way while the server closes is lost, and only one that changes nothing may be sent again.
 */
const idleMs = 60_000;

export interface SendOptions {
  method: string;
  /** With its query. Appended to the server's own path. */
  path: string;
  headers: HeaderLines;
  body?: string | Uint8Array | undefined;
  /** Whether it may reach the server twice. Where absent: a GET or HEAD. */
  repeatable?: boolean | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Keep-alive connections to one server, HTTP/1.1. `send` resolves when the answer's head is there;
 * whoever gets the message must read or destroy it. Throws ConnectionError; on abort, the signal's reason.
 */
export interface Transport extends AsyncDisposable {
  send(options: SendOptions): Promise<IncomingMessage>;
  /**
   * The agent whose idle connection an upgrade may take over; undefined where the last answer is so long ago that the
   * server may be closing it: an upgrade is not sent twice.
   */
  recentAgent(): Agent | undefined;
}

export function createTransport(config: ClusterConfig): Transport {
  const secure = config.server.protocol === "https:";
  const prefix = config.server.pathname.replace(/\/+$/, "");
  let agent: Agent | undefined;
  let agentCertificate: unknown;
  let closed = false;
  let answered = Number.NEGATIVE_INFINITY;

  /** An exec plugin may bring a new certificate: connections made with the old one serve no longer. */
  async function connections(): Promise<{ agent: Agent; request: (options: RequestOptions) => ClientRequest }> {
    // Loaded here, so that a program that never connects does not pay for TLS.
    const module = secure ? await import("node:https") : await import("node:http");
    if (!agent || agentCertificate !== config.tls.cert) {
      agent?.destroy();
      const options = {
        ...(secure && { ...config.tls, ALPNProtocols: ["http/1.1"] }),
        keepAlive: true,
        maxFreeSockets: maxIdleConnections,
        timeout: idleMs,
        scheduling: "lifo" as const,
      };
      if (config.proxy) {
        const { proxyAgent } = await import("./proxy/agent.ts");
        agent = proxyAgent(config.proxy, { ...options, secure });
      } else agent = new module.Agent(options);
      agentCertificate = config.tls.cert;
    }
    return { agent, request: module.request };
  }

  async function once(options: SendOptions): Promise<IncomingMessage> {
    const { agent, request } = await connections();
    if (!mayBeRepeated(options)) await dropClosed(agent);
    options.signal?.throwIfAborted();
    if (closed) throw new ConnectionError("the client is closed", { kind: "other", unsent: true });
    return await new Promise<IncomingMessage>((resolve, reject) => {
      const outgoing = request({
        agent,
        host: config.server.hostname.replace(/^\[|\]$/g, ""),
        port: config.server.port || undefined,
        method: options.method,
        path: prefix + options.path,
        headers: options.headers,
        ...(options.signal && { signal: options.signal }),
      });
      limitConnecting(outgoing, secure);
      // A request that is destroyed while its connection is being made tells nobody until it is there.
      const onAbort = () => reject(options.signal?.reason);
      options.signal?.addEventListener("abort", onAbort, { once: true });
      outgoing.once("close", () => options.signal?.removeEventListener("abort", onAbort));
      outgoing.once("response", (message) => {
        message.once("end", () => {
          answered = now();
        });
        resolve(message);
      });
      outgoing.once("error", (cause) => {
        if (options.signal?.aborted) return reject(options.signal.reason);
        const error = connectionError(cause, config.server);
        // The server may close an idle connection while our request is on its way: nothing was answered, so what may be repeated may go again.
        const stale = outgoing.reusedSocket && error.kind === "reset";
        reject(stale ? new StaleConnection(error) : error);
      });
      outgoing.end(options.body);
    });
  }

  return {
    async send(options) {
      for (let attempt = 0; ; attempt++) {
        try {
          return await once(options);
        } catch (error) {
          if (!(error instanceof StaleConnection)) throw error;
          if (attempt >= maxIdleConnections || !mayBeRepeated(options)) throw error.error;
        }
      }
    },
    recentAgent: () => (now() - answered < recentMs ? agent : undefined),
    async [Symbol.asyncDispose]() {
      closed = true;
      agent?.destroy();
    },
  };
}

class StaleConnection extends Error {
  readonly error: ConnectionError;
  constructor(error: ConnectionError) {
    super(error.message, { cause: error });
    this.error = error;
  }
}

/** As client-go has it: a DELETE or PUT that was done, though its answer was lost, would fail the second time. */
function mayBeRepeated({ method, repeatable = method === "GET" || method === "HEAD" }: SendOptions): boolean {
  return repeatable;
}

/**
 * Drops the idle connections whose server has closed them while this process was busy, or stopped, and has not noticed: a write would be lost there. In the
 * second turn everything is read that had come before.
 *
 * What closes while the request is on its way is left, as for client-go: a new connection for each write behind a pause would cost 2.5 ms of processor time, both sides
 * together and the TLS session resumed, where a kept one costs a tenth of that, and every node writes each ten seconds. Who has to get through tries again.
 */
async function dropClosed(agent: Agent): Promise<void> {
  if (Object.keys(agent.freeSockets).length === 0) return;
  await nextTurn();
  await nextTurn();
  for (const socket of Object.values(agent.freeSockets).flat()) if (socket?.readableEnded) socket.destroy();
}

function limitConnecting(outgoing: ClientRequest, secure: boolean): void {
  outgoing.once("socket", (socket) => {
    if (outgoing.reusedSocket) return;
    const fail = () => socket.destroy(Object.assign(new Error("timed out while connecting"), { code: "ETIMEDOUT" }));
    const timer = setTimeout(fail, connectTimeoutMs);
    const stop = () => clearTimeout(timer);
    socket.once(secure ? "secureConnect" : "connect", stop);
    socket.once("close", stop);
  });
}
