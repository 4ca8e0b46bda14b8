// Servers that end a session in other ways than ours: what of it is a success, and what is not.
import assert from "node:assert/strict";
import { it } from "node:test";
import { exitStatus } from "@hawser/api";
import { SpdyConnection } from "../spdy/connection.ts";
import { acceptSpdy } from "../spdy/handshake.ts";
import type { SpdyStream } from "../spdy/stream.ts";
import { collect, listenUpgrades } from "../testing/index.ts";
import { acceptWebSocket } from "../websocket/accept.ts";
import type { WebSocketConnection } from "../websocket/connection.ts";
import { openRemoteCommand } from "./client.ts";
import { Protocol } from "./protocols.ts";
import { encodeStatus } from "./status.ts";

const streams = { stdin: false, stdout: true, stderr: false, tty: false };
const success = encodeStatus(Protocol.v4, exitStatus(0));
const output = Buffer.from("output");

type Streams = { stdout: SpdyStream; error: SpdyStream; connection: SpdyConnection; drop(): void };
const overSpdy: { name: string; run(streams: Streams): Promise<unknown>; want: string }[] = [
  {
    name: "ends everything, and says how",
    run: async ({ stdout, error }) => {
      await stdout.sink.close();
      await error.sink.write(success);
      await error.sink.close();
    },
    want: "Success",
  },
  {
    name: "says how, then resets everything, as Go's servers do",
    run: async ({ error, connection }) => {
      await error.sink.write(success);
      connection.close();
    },
    want: "Success",
  },
  {
    name: "resets the output, then says success",
    run: async ({ stdout, error }) => {
      stdout.reset();
      await error.sink.write(success);
      await error.sink.close();
    },
    want: "truncated",
  },
  {
    name: "ends everything without a word",
    run: async ({ stdout, error }) => {
      await stdout.sink.close();
      await error.sink.close();
    },
    want: "no-status",
  },
  { name: "resets everything without a word", run: async ({ connection }) => connection.close(), want: "truncated" },
  {
    name: "says success and is cut off with its output open",
    run: async ({ error, drop }) => {
      await error.sink.write(success);
      await error.sink.close();
      drop();
    },
    want: "truncated",
  },
  { name: "is cut off", run: async ({ drop }) => drop(), want: "lost" },
];

for (const { name, run, want } of overSpdy) {
  it(`a SPDY server that ${name}: ${want}`, async () => {
    await using server = await listenUpgrades((upgrade) => {
      const { transport } = acceptSpdy(upgrade, [Protocol.v4]);
      const got = new Map<string, SpdyStream>();
      const connection = new SpdyConnection(transport, {
        role: "server",
        maxStreams: 9,
        onStream(stream) {
          stream.reply();
          got.set(stream.headers.get("streamtype") ?? "", stream);
          const [stdout, error] = [got.get("stdout"), got.get("error")];
          if (!stdout || !error) return;
          void stdout.sink
            .write(output)
            .then(() => run({ stdout, error, connection, drop: () => upgrade.socket.end() }));
        },
      });
      connection.start();
    });
    await using session = await openRemoteCommand({ url: server.url }, { ...streams, transports: ["spdy"] });
    assert.ok(session.stdout);
    const [read, end] = await Promise.all([
      collect(session.stdout).catch((error) => error.kind),
      session.status.then(
        ({ status }) => status,
        (error) => error.kind,
      ),
    ]);
    assert.equal(end, want);
    if (want === "Success") assert.deepEqual(read, output);
  });
}

const overWebSocket: { name: string; run(connection: WebSocketConnection, drop: () => void): void; want: string }[] = [
  {
    name: "says how and closes with 1000",
    run(connection) {
      connection.send(success, { prefix: 3 });
      connection.close(1000);
    },
    want: "Success",
  },
  { name: "closes with 1000 without a word", run: (connection) => connection.close(1000), want: "no-status" },
  {
    name: "says success and is cut off",
    run(connection, drop) {
      connection.send(success, { prefix: 3 });
      drop();
    },
    want: "truncated",
  },
  {
    name: "says success and closes with 1011",
    run(connection) {
      connection.send(success, { prefix: 3 });
      connection.close(1011);
    },
    want: "truncated",
  },
  { name: "is cut off", run: (_connection, drop) => drop(), want: "lost" },
  { name: "closes with 1002", run: (connection) => connection.close(1002), want: "protocol" },
];
for (const { name, run, want } of overWebSocket) {
  it(`a WebSocket server that ${name}: ${want}`, async () => {
    await using server = await listenUpgrades(async (upgrade) => {
      const connection = await acceptWebSocket(upgrade, [Protocol.v5], { pingMs: 0 });
      connection.start({ message() {}, end() {} });
      connection.send(output, { prefix: 1 });
      run(connection, () => upgrade.socket.end());
    });
    await using session = await openRemoteCommand({ url: server.url }, { ...streams, transports: ["websocket"] });
    assert.ok(session.stdout);
    const [read, end] = await Promise.all([
      collect(session.stdout).catch((error) => error.kind),
      session.status.then(
        ({ status }) => status,
        (error) => error.kind,
      ),
    ]);
    assert.equal(end, want);
    if (want === "Success") assert.deepEqual(read, output);
  });
}
