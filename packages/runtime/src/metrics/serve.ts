import { once } from "node:events";
import { chmod, unlink } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { claimSocket } from "@hawser/cri";
import { exposition, expositionType, type Family, type Logger, watchProcess } from "@hawser/trace";
import { type MetricsAddress, parseMetricsAddress } from "./address.ts";

/** Connections at once; further ones are closed. */
const maxConnections = 16;
/** A request and its headers, milliseconds. */
const requestMs = 5_000;

/** A listener for Prometheus. Disposing it closes every connection. */
export interface MetricsServer extends AsyncDisposable {
  /** `http://127.0.0.1:9464/metrics`, or `unix:///PATH`. */
  address: string;
}

/**
 * Serves `GET /metrics` on a loopback address or a Unix socket of mode 0600. Undefined for no address.
 * Throws when the address is taken, or none that may be.
 */
export async function serveMetrics({
  address: text,
  collect,
  log,
}: {
  address: string;
  /** Asked at each request; the process itself is added here. */
  collect: () => Family[];
  log: Logger;
}): Promise<MetricsServer | undefined> {
  const address = parseMetricsAddress(text);
  if (!address) return undefined;
  const watched = watchProcess();
  const server = createServer({ requestTimeout: requestMs, headersTimeout: requestMs }, (request, response) => {
    answer(request, response, async () => exposition([...collect(), ...(await watched.families())])).catch(
      (error: unknown) => {
        log.warn("metrics not written", { error });
        response.destroy();
      },
    );
  });
  server.maxConnections = maxConnections;
  try {
    if ("path" in address) await claimSocket(address.path);
    const listening = once(server, "listening"); // rejects with the server's error
    server.listen(address);
    await listening;
    if ("path" in address) await chmod(address.path, 0o600);
  } catch (cause) {
    server.close();
    watched[Symbol.dispose]();
    throw new Error(`cannot serve metrics on ${text}: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
  server.on("error", (error) => log.error("metrics listener", { error }));
  return {
    address: urlOf(address, server.address()),
    async [Symbol.asyncDispose]() {
      watched[Symbol.dispose]();
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
      if ("path" in address) await unlink(address.path).catch(() => undefined); // Node has removed it already
    },
  };
}

async function answer(request: IncomingMessage, response: ServerResponse, write: () => Promise<string>): Promise<void> {
  const path = request.url?.split("?")[0];
  if (path !== "/metrics") return plain(response, 404, "404 page not found\n");
  if (request.method !== "GET" && request.method !== "HEAD") {
    response.setHeader("Allow", "GET, HEAD");
    return plain(response, 405, "405: Method Not Allowed\n");
  }
  const text = await write();
  response.writeHead(200, { "Content-Type": expositionType });
  response.end(text);
}

function plain(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { "Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff" });
  response.end(text);
}

function urlOf(address: MetricsAddress, listening: AddressInfo | string | null): string {
  if ("path" in address) return `unix://${address.path}`;
  const port = typeof listening === "object" && listening ? listening.port : address.port;
  return `http://${address.host.includes(":") ? `[${address.host}]` : address.host}:${port}/metrics`;
}
