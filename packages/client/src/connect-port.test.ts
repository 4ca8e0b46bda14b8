import assert from "node:assert/strict";
import { Duplex } from "node:stream";
import { describe, it } from "node:test";
import { acceptPortForward } from "@hawser/streaming";
import { createClient } from "./client.ts";
import { connectPort } from "./connect-port.ts";
import { fakeServer } from "./testing/fake-server.ts";

/** A pod in which port 80 answers, after its end, with how much it was sent; nobody listens on others. */
function podServer() {
  return fakeServer(
    (_, response) => response.destroy(),
    async (upgrade) => {
      const session = await acceptPortForward(upgrade, {
        async connect(port) {
          if (port !== 80) throw new Error(`connection to port ${port} refused`);
          const stream = new TransformStream<Uint8Array, Uint8Array>();
          const writer = stream.writable.getWriter();
          const input = Promise.withResolvers<number>();
          let length = 0;
          const answer = async () => {
            await writer.write(Buffer.from(`got ${await input.promise}`));
            await writer.close();
          };
          answer().catch(() => {});
          return {
            source: stream.readable,
            sink: {
              write: async (chunk: Uint8Array) => {
                length += chunk.length;
              },
              close: async () => input.resolve(length),
              abort: async () => input.reject(new Error("aborted")),
            },
          };
        },
      });
      await session.closed.catch(() => {});
    },
  );
}

for (const transport of ["websocket", "spdy"] as const) {
  describe(`connectPort over ${transport}`, () => {
    const target = { namespace: "default", pod: "web", port: 80, transports: [transport] };

    it("is a Node stream, each direction of which ends by itself", async () => {
      await using server = await podServer();
      await using client = createClient(server.config);
      const stream = await connectPort(client, target);
      stream.write(Buffer.alloc(300_000));
      stream.end("x");
      let answer = "";
      for await (const chunk of stream) answer += chunk;
      assert.equal(answer, "got 300001");
    });

    it("is a pair of web streams, too", async () => {
      await using server = await podServer();
      await using client = createClient(server.config);
      const { readable, writable } = Duplex.toWeb(await connectPort(client, target));
      const writer = writable.getWriter();
      await writer.write(Buffer.from("12345"));
      await writer.close();
      assert.equal(await new Response(readable).text(), "got 5");
    });

    it("fails with the server's words where nobody listens", async () => {
      await using server = await podServer();
      await using client = createClient(server.config);
      const stream = await connectPort(client, { ...target, port: 81 });
      await assert.rejects(Array.fromAsync(stream), /81/);
    });

    it("fails with the reason of an abort", async () => {
      await using server = await podServer();
      await using client = createClient(server.config);
      const abort = new AbortController();
      const stream = await connectPort(client, { ...target, signal: abort.signal });
      const reading = Array.fromAsync(stream);
      abort.abort(new Error("enough"));
      await assert.rejects(reading, { message: "enough" });
    });
  });
}
