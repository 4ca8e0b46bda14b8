import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { PassThrough } from "node:stream";
import { describe, it } from "node:test";
import { createServer as createTLSServer, connect as dialTLS } from "node:tls";
import { readReused } from "./read-reused.ts";

/** A key that both sides know, in place of certificates. */
const psk = randomBytes(32);
const payload = randomBytes(3 * 1024 * 1024 + 17);

/** The accepting side's socket of a connection over which the other side has begun to send `bytes`, and then ends. */
async function accepted(kind: "plain" | "tls", bytes: Uint8Array): Promise<{ socket: Socket } & AsyncDisposable> {
  const server: Server =
    kind === "tls" ? createTLSServer({ ciphers: "PSK", pskCallback: () => psk }) : createServer({ noDelay: true });
  server.listen(0, "localhost");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" && address ? address.port : 0;
  const came = once(server, kind === "tls" ? "secureConnection" : "connection");
  const client =
    kind === "tls"
      ? dialTLS({ port, host: "localhost", ciphers: "PSK", pskCallback: () => ({ psk, identity: "test" }) })
      : connect(port, "localhost");
  client.on("error", () => {}); // the accepting side may be through with it
  client.end(bytes);
  const [socket] = (await came) as [Socket];
  return {
    socket,
    async [Symbol.asyncDispose]() {
      client.destroy();
      socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

it("readReused: short chunks that are kept do not keep large buffers", async () => {
  const server = createServer({ noDelay: true }).listen(0, "localhost");
  await once(server, "listening");
  const address = server.address();
  const client = connect(typeof address === "object" && address ? address.port : 0, "localhost");
  const [socket] = (await once(server, "connection")) as [Socket];
  try {
    const memories = new Set<ArrayBufferLike>();
    const large = 512 * 1024;
    let [all, short] = [0, 0];
    readReused(socket, (chunk) => {
      all += chunk.byteLength;
      if (all > large) {
        short += chunk.byteLength;
        memories.add(chunk.buffer);
      }
      if (all >= large) short < 60_000 ? client.write(Buffer.alloc(1100)) : client.end();
      return false;
    });
    client.write(Buffer.alloc(large));
    await once(socket, "end");
    const held = [...memories].reduce((sum, { byteLength }) => sum + byteLength, 0);
    assert.ok(held < 8 * short, `${held} bytes for ${short}`);
  } finally {
    client.destroy();
    socket.destroy();
    server.close();
  }
});

const digest = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

for (const kind of ["plain", "tls"] as const) {
  describe(`readReused: ${kind} sockets that a server accepted`, () => {
    it("reads into the same memory again when the taker has done with it", async () => {
      await using path = await accepted(kind, payload);
      const hash = createHash("sha256");
      const memories = new Set<ArrayBufferLike>();
      let reads = 0;
      readReused(path.socket, (chunk) => {
        reads++;
        if (chunk.byteLength > 1024) memories.add(chunk.buffer);
        hash.update(chunk);
        return true;
      });
      await once(path.socket, "end");
      assert.equal(hash.digest("hex"), digest(payload));
      assert.ok(reads > 20, `${reads} reads`);
      assert.ok(memories.size <= 4, `${memories.size} memories: one, and one for each time it grows`);
    });

    it("leaves alone what the taker keeps", async () => {
      await using path = await accepted(kind, payload);
      const kept: Buffer[] = [];
      readReused(path.socket, (chunk) => {
        kept.push(chunk);
        return false;
      });
      await once(path.socket, "end");
      assert.equal(digest(Buffer.concat(kept)), digest(payload));
    });

    it("gives what had been read before, and obeys pause and resume", async () => {
      await using path = await accepted(kind, payload);
      const { socket } = path;
      await once(socket, "readable");
      const hash = createHash("sha256");
      let reads = 0;
      readReused(socket, (chunk) => {
        hash.update(chunk);
        if (++reads % 5 !== 0) return true;
        socket.pause();
        setImmediate(() => socket.resume());
        return true;
      });
      await once(socket, "end");
      assert.equal(hash.digest("hex"), digest(payload));
    });
  });
}

it("readReused: a stream of another kind gives its own chunks", async () => {
  const stream = new PassThrough();
  let text = "";
  readReused(stream, (chunk) => {
    text += chunk;
    return true;
  });
  stream.write("a");
  stream.end("b");
  await once(stream, "end");
  assert.equal(text, "ab");
});
