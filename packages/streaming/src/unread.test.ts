import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { it } from "node:test";
import { socketTransport } from "./transport.ts";

it("what a peer said before it closed is read, though a write met the closing first", async () => {
  const { promise: accepted, resolve } = Promise.withResolvers<Socket>();
  const server = createServer({ pauseOnConnect: true }, resolve).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const socket = connect(typeof address === "object" && address ? address.port : 0, "127.0.0.1");
  try {
    await once(socket, "connect");
    const peer = await accepted;
    const transport = socketTransport(socket, Buffer.alloc(0));
    const said: string[] = [];
    const ended = Promise.withResolvers<Error | undefined>();
    transport.start({
      data(bytes) {
        said.push(String(bytes));
        return true;
      },
      end: ended.resolve,
    });
    // All in one turn: what comes is read in the next.
    peer.write("the status");
    peer.resetAndDestroy();
    transport.write([Buffer.from("input")]);
    transport.write([Buffer.from("more")]);
    assert.match(String(await ended.promise), /connection lost: write (EPIPE|ECONNRESET)/);
    assert.deepEqual(said, ["the status"]);
  } finally {
    socket.destroy();
    server.close();
  }
});
