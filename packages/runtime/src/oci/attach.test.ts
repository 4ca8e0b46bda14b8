import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { SeqpacketServer, type SeqpacketSocket } from "node-unix-socket";
import { attachToConmon } from "./attach.ts";

it("a container gets what its client had sent when it went", { timeout: 10_000 }, async ({ signal }) => {
  const folder = await mkdtemp(join(tmpdir(), "hawser-attach-"));
  const socketPath = join(folder, "attach");
  const got: Buffer[] = [];
  const { promise: over, resolve } = Promise.withResolvers<void>();
  signal.addEventListener("abort", () => resolve());
  const sockets: SeqpacketSocket[] = [];
  const conmon = new SeqpacketServer();
  conmon.on("connection", (socket: SeqpacketSocket) => {
    sockets.push(socket);
    socket.on("data", (packet: Buffer) => got.push(Buffer.from(packet)));
    socket.on("end", resolve);
  });
  try {
    conmon.listen(socketPath);
    const sent = Buffer.from(Array.from({ length: 100_000 }, (_, index) => index % 251));
    const client = new AbortController();
    async function* typed() {
      yield sent;
      throw new Error("the client has gone");
    }
    const lost = new Error("lost");
    const stdin = {
      [Symbol.asyncIterator]() {
        queueMicrotask(() => client.abort(lost));
        return typed();
      },
    };
    const attached = attachToConmon({ socketPath, controlPath: join(folder, "ctl"), stdin, signal: client.signal });
    await assert.rejects(attached, lost);
    await over;
    assert.ok(Buffer.concat(got).equals(sent), `${Buffer.concat(got).length} of ${sent.length} bytes`); // a diff of them takes a minute
  } finally {
    for (const socket of sockets) socket.destroy();
    conmon.close();
    await rm(folder, { recursive: true });
  }
});
