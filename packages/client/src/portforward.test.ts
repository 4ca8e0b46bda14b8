import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { it } from "node:test";
import { acceptPortForward, duplexOf } from "@hawser/streaming";
import { createClient } from "./client.ts";
import { portForward } from "./portforward.ts";
import { fakeServer } from "./testing/fake-server.ts";

async function exchange(port: number, text: string): Promise<string> {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  socket.end(text);
  const parts: Buffer[] = [];
  for await (const chunk of socket as AsyncIterable<Buffer>) parts.push(chunk);
  return Buffer.concat(parts).toString("utf8");
}

/** An echo server that answers after the end of what it was sent. */
async function echoServer() {
  const server = createServer({ allowHalfOpen: true }, async (socket) => {
    const parts: Buffer[] = [];
    for await (const chunk of socket.iterator({ destroyOnReturn: false })) parts.push(chunk as Buffer);
    socket.end(`echo ${Buffer.concat(parts).length}`);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  return { port, [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())) };
}

for (const transport of ["websocket", "spdy"] as const) {
  it(`portForward over ${transport} carries many connections, and closes them all`, async () => {
    await using echo = await echoServer();
    await using server = await fakeServer(
      (_, response) => response.destroy(),
      async (upgrade) => {
        const session = await acceptPortForward(upgrade, {
          async connect(port) {
            assert.equal(port, 80);
            const socket = connect({ port: echo.port, host: "127.0.0.1", allowHalfOpen: true });
            await once(socket, "connect");
            return duplexOf(socket);
          },
        });
        await session.closed.catch(() => {}); // the client's going is all that is waited for
      },
    );
    await using client = createClient(server.config);
    const seen: number[] = [];
    const forward = await portForward(client, {
      namespace: "default",
      pod: "web",
      ports: [{ local: 0, remote: 80 }],
      addresses: ["127.0.0.1"],
      transports: [transport],
      onConnection: ({ remote }) => seen.push(remote),
    });
    const [listener] = forward.listeners;
    assert.ok(listener);
    const sizes = [0, 1, 65_536, 1_000_000];
    const answers = await Promise.all(sizes.map((size) => exchange(listener.local, "x".repeat(size))));
    assert.deepEqual(
      answers,
      sizes.map((size) => `echo ${size}`),
    );
    assert.deepEqual(seen, [80, 80, 80, 80]);
    await forward[Symbol.asyncDispose]();
    await forward.closed;
    await assert.rejects(exchange(listener.local, "x"), { code: "ECONNREFUSED" });
  });
}
