import { createServer, type RequestListener } from "node:http";
import { createServer as createTCPServer, type Server } from "node:net";

/** A server on a free loopback port, for a test. Disposing cuts its connections. */
export interface TestServer extends AsyncDisposable {
  /** `127.0.0.1:PORT`. */
  address: string;
}

export async function httpServer(handler: RequestListener): Promise<TestServer> {
  return await listening(createServer(handler));
}

/** Takes connections and says nothing. */
export async function silentServer(): Promise<TestServer> {
  return await listening(createTCPServer((socket) => socket.on("error", () => undefined)));
}

async function listening(server: Server): Promise<TestServer> {
  const sockets = new Set<{ destroy(): void }>();
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const bound = server.address();
  if (bound === null || typeof bound === "string") throw new Error("the server has no port");
  return {
    address: `127.0.0.1:${bound.port}`,
    async [Symbol.asyncDispose]() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
