import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type RequestListener } from "node:http";
import { createServer as createTCPServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "@hawser/trace";
import { type ImageStore, type ImageStoreConfig, openImageStore } from "../../packages/runtime/src/images/index.ts";

/** A store in a directory of its own; disposing removes both, root file systems of the given containers included. */
export async function temporaryStore(
  config: ImageStoreConfig = {},
): Promise<AsyncDisposable & { store: ImageStore; root: string }> {
  const root = await mkdtemp(join(tmpdir(), "hawser-images-"));
  const store = await openImageStore({ root, log: silentLogger, config });
  return {
    store,
    root,
    async [Symbol.asyncDispose]() {
      await store.releaseRootfs("c1");
      await store[Symbol.asyncDispose]();
      await rm(root, { recursive: true, force: true });
    },
  };
}

/** An HTTP server on a free loopback port. `address` is `127.0.0.1:PORT`. */
export async function httpServer(handler: RequestListener): Promise<AsyncDisposable & { address: string }> {
  return await listening(createServer(handler));
}

/** A server that takes connections and says nothing. */
export async function silentServer(): Promise<AsyncDisposable & { address: string }> {
  return await listening(createTCPServer((socket) => socket.on("error", () => undefined)));
}

async function listening(server: Server): Promise<AsyncDisposable & { address: string }> {
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
