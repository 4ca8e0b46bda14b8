import { once } from "node:events";
import { createSecureServer, type Http2SecureServer } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { Handler } from "../handler.ts";

/** Connections at once; further ones are closed by the kernel's side of the door. */
const maxConnections = 10_000;
/** For node:http, which node:http2 hands them on to. Bytes of a request's line and headers, as in Go: an exec's command comes in its URL. */
const http1 = { maxHeaderSize: 1024 * 1024 };
/** Milliseconds for which an idle HTTP/1.1 connection is kept, as the real server's IdleTimeout: clients close theirs before, or lose the request they send meanwhile. */
const idleTime = 90_000;
/** The kernel asks after idle clients, so that those that vanished without a word hold nothing. Milliseconds. */
const keepAlive = { keepAlive: true, keepAliveInitialDelay: 15_000 };
/** Sessions that are resumed without a full handshake last this long, seconds. */
const sessionTimeout = 3600;
/** How long requests under way may go on once the server stops, milliseconds. */
const drainTime = 2000;

export interface ListenOptions {
  address: string;
  /** 0: any that is free. */
  port: number;
  serving: { certPEM: string; keyPEM: string };
  /** CAs whose client certificates are asked for. PEM. */
  clientCA: string;
  handler: Handler;
}

export interface Listener extends AsyncDisposable {
  address: string;
  port: number;
}

/**
 * One TLS port for HTTP/2, HTTP/1.1 and upgrades. A client certificate is asked for, not demanded:
 * who may come in is for the handler to say.
 * Throws the system's error when the port cannot be had.
 */
export async function listen(options: ListenOptions): Promise<Listener> {
  const { serving, clientCA, handler } = options;
  const server = createSecureServer({
    allowHTTP1: true,
    ...keepAlive,
    ...http1,
    cert: serving.certPEM,
    key: serving.keyPEM,
    ca: clientCA,
    requestCert: true,
    rejectUnauthorized: false,
    minVersion: "TLSv1.2",
    sessionTimeout,
    settings: { maxConcurrentStreams: 250 },
  });
  server.maxConnections = maxConnections;
  Object.assign(server, { keepAliveTimeout: idleTime }); // node:http's, which the types do not know here
  server.on("request", (request, response) => handler.request(request, response));
  server.on("upgrade", (request, socket, head) => handler.upgrade(request, socket, head));
  server.on("sessionError", () => {}); // one client's broken connection; its streams are told
  server.on("tlsClientError", () => {}); // a scan, or a client that distrusts us: it says so itself
  const sockets = trackSockets(server);
  server.listen(options.port, options.address);
  await once(server, "listening");
  const { address, port } = server.address() as AddressInfo;
  return {
    address,
    port,
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      for (const session of sockets.sessions) session.close();
      const timer = setTimeout(() => {
        for (const socket of sockets.all) socket.destroy();
      }, drainTime);
      await closed;
      clearTimeout(timer);
    },
  };
}

/** Http2SecureServer has no closeAllConnections (nodejs/node issue 51493). */
function trackSockets(server: Http2SecureServer) {
  const all = new Set<Socket>();
  const sessions = new Set<{ close(): void }>();
  server.on("connection", (socket: Socket) => {
    all.add(socket);
    socket.once("close", () => all.delete(socket));
  });
  server.on("secureConnection", (socket: TLSSocket) => socket.setNoDelay(true));
  server.on("session", (session) => {
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
  });
  return { all, sessions };
}
