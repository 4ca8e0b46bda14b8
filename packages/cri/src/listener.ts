import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { type Server, ServerCredentials } from "@grpc/grpc-js";
import { AuthorityFilter } from "./authority.ts";

/**
 * Serves a gRPC server on a Unix socket, for clients that name the socket's path as their authority too.
 * Throws when it cannot listen. Disposing stops listening, removes the socket and ends all connections: without channelz grpc-js' forceShutdown knows none.
 */
export async function listen(server: Server, socketPath: string): Promise<AsyncDisposable> {
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  // libuv gives a client's end only to who keeps his own side open until then.
  const connections = new Set<Duplex>();
  const listener = createServer({ allowHalfOpen: true }, (socket) => {
    const connection = filtered(socket);
    connections.add(connection);
    connection.once("close", () => connections.delete(connection));
    injector.injectConnection(connection);
  });
  listener.listen(socketPath);
  try {
    await once(listener, "listening");
  } catch (cause) {
    throw new Error(`cannot listen on ${socketPath}: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
  listener.on("error", (error) => process.emitWarning(error)); // one connection was not accepted; the others go on
  return {
    async [Symbol.asyncDispose]() {
      listener.close(); // calls back when the last connection is gone: not ours to wait for
      for (const connection of connections) connection.destroy();
    },
  };
}

/** The connection as Node's HTTP/2 gets to see it. */
function filtered(socket: Socket): Duplex {
  const filter = new AuthorityFilter();
  const duplex = new Duplex({
    read: () => {
      socket.resume();
    },
    write: (chunk: Buffer, _encoding, done) => {
      socket.write(chunk, done);
    },
    writev: (chunks, done) => {
      socket.cork();
      const last = chunks.length - 1;
      chunks.forEach(({ chunk }, index) => {
        if (index === last) socket.write(chunk, done);
        else socket.write(chunk);
      });
      socket.uncork();
    },
    final: (done) => {
      socket.end(done);
    },
    destroy: (error, done) => {
      socket.destroy();
      done(error);
    },
  });
  socket.on("data", (chunk: Buffer) => {
    const clean = filter.push(chunk);
    if (clean.length > 0 && !duplex.push(clean)) socket.pause();
  });
  socket.on("end", () => duplex.push(null));
  socket.on("error", (error) => duplex.destroy(error));
  socket.on("close", () => duplex.destroy());
  return duplex;
}
