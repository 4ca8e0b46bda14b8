// A server in a thread of its own, so that it closes connections while its client's event loop does something else.
import { once } from "node:events";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import type { ClusterConfig } from "../config/cluster-config.ts";
import { authority, serverCertificate, serverKey } from "./certificates.ts";

export interface ClosingServer extends AsyncDisposable {
  config: ClusterConfig;
  /** Returns when the server has closed all its connections. Until then this thread stands still. */
  closeConnections(): void;
}

/** Milliseconds for the thread to close its connections. */
const patience = 10_000;

export async function closingServer(): Promise<ClosingServer> {
  const closed = new Int32Array(new SharedArrayBuffer(4));
  const thread = new Worker(new URL(import.meta.url), { workerData: closed });
  const [port] = (await once(thread, "message")) as [number];
  return {
    config: {
      server: new URL(`https://127.0.0.1:${port}`),
      namespace: "default",
      tls: { ca: authority },
      headers: async () => ({}),
    },
    closeConnections() {
      thread.postMessage("close");
      if (Atomics.wait(closed, 0, 0, patience) === "timed-out") throw new Error("the server has not closed");
      Atomics.store(closed, 0, 0);
    },
    [Symbol.asyncDispose]: async () => void (await thread.terminate()),
  };
}

async function serve(closed: Int32Array): Promise<void> {
  const sockets = new Set<Duplex>();
  const server = createServer({ cert: serverCertificate, key: serverKey }, (request, response) => {
    request.resume().on("end", () => {
      response.writeHead(200, { "Content-Type": "application/json" });
      response.end(JSON.stringify({ method: request.method }));
    });
  });
  server.on("connection", (socket) => sockets.add(socket));
  parentPort?.on("message", async () => {
    const closing = [...sockets].map((socket) => once(socket, "close"));
    for (const socket of sockets) socket.destroy();
    sockets.clear();
    await Promise.all(closing);
    Atomics.store(closed, 0, 1);
    Atomics.notify(closed, 0);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  parentPort?.postMessage((server.address() as AddressInfo).port); // listening on TCP
}

if (!isMainThread && workerData instanceof Int32Array) await serve(workerData);
