import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

export interface Relay extends AsyncDisposable {
  url: URL;
  port: number;
  /** Bytes that came back from the target so far. */
  readonly returned: number;
  /** From now on no byte passes, either way, and nobody is told: every connection stays, and new ones are taken. */
  freeze(): void;
  /** Ends or resets all it carries, at once, and takes nothing new. */
  cut(how: "FIN" | "RST"): void;
}

/** A relay on a free port of loopback to a port of loopback. */
export async function startRelay(to: number): Promise<Relay> {
  const sockets = new Set<Socket>();
  let frozen = false;
  let returned = 0;
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const backend = connect({ port: to, host: "127.0.0.1", allowHalfOpen: true });
    const pass = (from: Socket, into: Socket, count: (bytes: number) => void) => {
      sockets.add(from);
      from.on("data", (chunk: Buffer) => {
        if (frozen) return; // taken, so that the kernel acknowledges it, and lost
        count(chunk.length);
        into.write(chunk);
      });
      from.on("end", () => frozen || into.end());
      from.on("error", () => {});
      from.on("close", (failed) => {
        sockets.delete(from);
        if (!frozen) failed ? into.destroy() : into.end();
      });
    };
    pass(client, backend, () => {});
    pass(backend, client, (bytes) => {
      returned += bytes;
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: new URL(`http://127.0.0.1:${port}/`),
    port,
    get returned() {
      return returned;
    },
    freeze() {
      frozen = true;
    },
    cut(how) {
      frozen = true;
      server.close();
      for (const socket of sockets) how === "RST" ? socket.resetAndDestroy() : socket.destroy();
    },
    async [Symbol.asyncDispose]() {
      const closed = server.listening ? once(server, "close") : undefined;
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
