import { connect, createServer, type Socket } from "node:net";

/** A TCP relay that breaks off. */
export interface Relay extends AsyncDisposable {
  /** `127.0.0.1:PORT`. */
  address: string;
  /** From now on each connection is broken off once it has answered so many bytes. */
  cutAt(bytes: number): void;
  /** Connections it has broken off. */
  readonly cuts: number;
}

/** Relays to `host`; whole at first. */
export async function relayTo(host: string): Promise<Relay> {
  const [hostname = "", port = ""] = host.split(":");
  let limit = Number.POSITIVE_INFINITY;
  let cuts = 0;
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname);
    let answered = 0;
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket);
      socket.on("error", () => other.destroy());
      socket.on("close", () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
    client.on("data", (chunk) => upstream.write(chunk));
    upstream.on("data", (chunk) => {
      const room = limit - answered;
      answered += chunk.length;
      if (chunk.length < room) {
        client.write(chunk);
        return;
      }
      cuts++;
      upstream.pause();
      client.write(chunk.subarray(0, Math.max(0, room)), () => client.destroy());
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const bound = server.address();
  if (bound === null || typeof bound === "string") throw new Error("the relay has no port");
  return {
    address: `127.0.0.1:${bound.port}`,
    cutAt(bytes) {
      limit = bytes;
    },
    get cuts() {
      return cuts;
    },
    async [Symbol.asyncDispose]() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
