import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import type { UpgradeRequest } from "../upgrade/types.ts";

export interface UpgradeServer extends AsyncDisposable {
  url: URL;
  port: number;
  /** Connections that are open now. */
  readonly connections: ReadonlySet<Duplex>;
}

/** A plain HTTP server on a free port of loopback that hands each upgrade to `onUpgrade`; what that throws is not an error here. */
export async function listenUpgrades(
  onUpgrade: (upgrade: UpgradeRequest) => unknown,
  onRequest?: RequestListener,
): Promise<UpgradeServer> {
  const server = createServer(onRequest);
  const connections = new Set<Duplex>();
  server.on("connection", (socket) => {
    connections.add(socket);
    socket.on("close", () => connections.delete(socket));
  });
  server.on("upgrade", (request, socket, head) => {
    void (async () => onUpgrade({ request, socket, head }))().catch(() => {});
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: new URL(`http://127.0.0.1:${port}/`),
    port,
    connections,
    async [Symbol.asyncDispose]() {
      for (const socket of connections) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
