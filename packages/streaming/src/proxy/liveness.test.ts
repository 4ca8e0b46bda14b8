// kubectl gives up a WebSocket that brings no pong for 61 s: whatever stands still, pongs come, on every way.
import { once } from "node:events";
import { describe, it } from "node:test";
import { silentLogger } from "@hawser/trace";
import { WebSocket } from "ws";
import { tunnelProtocol } from "../portforward/protocols.ts";
import { acceptPortForward } from "../portforward/server.ts";
import { acceptRemoteCommand } from "../remotecommand/server.ts";
import type { ServerSession } from "../remotecommand/types.ts";
import { FrameDecoder } from "../spdy/decode.ts";
import { encodeDataHeader, encodePing, encodeSynStream } from "../spdy/frame.ts";
import { HeaderEncoder } from "../spdy/headers.ts";
import { listenUpgrades } from "../testing/index.ts";
import { dialWebSocket } from "../websocket/dial.ts";
import { proxyUpgrade } from "./proxy.ts";

const streams = { stdin: true, stdout: true, stderr: false, tty: false };
const ways = [
  { way: "native", hops: [] },
  { way: "splice", hops: ["websocket"] },
  { way: "translate", hops: ["spdy"] },
  { way: "translate, then splice", hops: ["spdy", "websocket"] },
] as const;

async function path(kind: "remotecommand" | "portforward", hops: readonly ("spdy" | "websocket")[], last: URL) {
  const stack = new AsyncDisposableStack();
  let url = last;
  for (const nextHop of hops) {
    const target = { url };
    const hop = stack.use(
      await listenUpgrades((upgrade) => proxyUpgrade(upgrade, { target, kind, streams, nextHop, log: silentLogger })),
    );
    ({ url } = hop);
  }
  return { url, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

/** Resolves when a count stands still: everything is in this process, so that what can move moves within a few turns. */
async function still(count: () => number): Promise<void> {
  for (let turns = 0, before = -1; turns < 50; turns = count() === before ? turns + 1 : 0) {
    before = count();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Writes until the session is over. */
async function flood(session: ServerSession, onWritten: () => void) {
  const chunk = Buffer.alloc(64 * 1024, "x");
  try {
    for (;;) {
      await session.stdout?.write(chunk);
      onWritten();
    }
  } catch {
    // the client has gone
  }
}

describe("a client that does not read its stdout for a while", () => {
  for (const { way, hops } of ways) {
    it(`gets its pongs, on the way "${way}"`, { timeout: 30_000 }, async () => {
      let written = 0;
      await using last = await listenUpgrades(async (upgrade) => {
        await using session = await acceptRemoteCommand(upgrade, streams);
        await flood(session, () => written++);
      });
      await using through = await path("remotecommand", hops, last.url);
      const ws = new WebSocket(through.url, ["v5.channel.k8s.io"]);
      await once(ws, "open");
      await once(ws, "message");
      ws.pause();
      for (const data of ["one", "two", "three"]) ws.ping(data);
      await still(() => written); // the flood has filled every buffer on the way
      const pongs: string[] = [];
      ws.on("pong", (data) => pongs.push(data.toString()));
      ws.resume();
      while (pongs.at(-1) !== "three") await once(ws, "pong");
      ws.terminate();
      await once(ws, "close");
    });
  }

  it("gets its pings answered inside a tunnel that a hop takes apart", { timeout: 30_000 }, async () => {
    let read = 0;
    await using last = await listenUpgrades(async (upgrade) => {
      await using session = await acceptPortForward(upgrade, { connect: async () => endless(() => read++) });
      await session.closed;
    });
    await using through = await path("portforward", ["spdy"], last.url);
    const connection = await dialWebSocket({ url: through.url }, [tunnelProtocol("portforward.k8s.io")], { pingMs: 0 });
    const [flooded, answered] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const decoder = new FrameDecoder();
    connection.start({
      message(data) {
        for (const frame of decoder.push(data)) {
          if (frame.type === "data" && frame.bytes.byteLength > 0) flooded.resolve();
          if (frame.type === "ping" && frame.id === 7) answered.resolve();
        }
      },
      end: () => {},
    });
    openPair((bytes) => connection.send(bytes));
    await flooded.promise;
    connection.pause();
    connection.send(encodePing(7));
    await still(() => read);
    connection.resume();
    await answered.promise;
    connection.destroy();
  });
});

describe("a client whose stdin nobody reads", { concurrency: true }, () => {
  for (const { way, hops } of ways) {
    it(`gets pongs unasked, on the way "${way}"`, { timeout: 30_000 }, async () => {
      await using last = await listenUpgrades(async (upgrade) => {
        await using session = await acceptRemoteCommand(upgrade, streams);
        await once(session.signal, "abort");
      });
      await using through = await path("remotecommand", hops, last.url);
      const ws = new WebSocket(through.url, ["v5.channel.k8s.io"]);
      await once(ws, "open");
      const chunk = Buffer.alloc(32 * 1024);
      for (let sent = 0; sent < 16 * 1024 * 1024; sent += chunk.byteLength) ws.send(chunk);
      ws.ping("behind all that");
      await once(ws, "pong");
      ws.terminate();
      await once(ws, "close");
    });
  }

  it("hears from the server inside a tunnel that a hop takes apart", { timeout: 30_000 }, async () => {
    await using last = await listenUpgrades(async (upgrade) => {
      await using session = await acceptPortForward(upgrade, { connect: async () => unread() });
      await session.closed;
    });
    await using through = await path("portforward", ["spdy"], last.url);
    const connection = await dialWebSocket({ url: through.url }, [tunnelProtocol("portforward.k8s.io")], { pingMs: 0 });
    const [replied, heard] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const decoder = new FrameDecoder();
    connection.start({
      message(data) {
        for (const frame of decoder.push(data)) {
          if (frame.type === "synReply" && frame.streamId === 3) replied.resolve();
          if (frame.type === "ping") heard.resolve();
        }
      },
      end: () => {},
    });
    openPair((bytes) => connection.send(bytes));
    await replied.promise;
    const chunk = Buffer.concat([encodeDataHeader(3, 32_000, false), Buffer.alloc(32_000)]);
    for (let sent = 0; sent < 16 * 1024 * 1024; sent += 32_000) connection.send(chunk);
    await heard.promise;
    connection.destroy();
  });
});

/** The error and the data stream of one connection to port 80. */
function openPair(send: (bytes: Uint8Array) => void) {
  const encoder = new HeaderEncoder();
  for (const [id, streamtype] of [
    [1, "error"],
    [3, "data"],
  ] as const) {
    const headers = Object.entries({ streamtype, port: "80", requestid: "0" });
    send(encodeSynStream(id, encoder.encode(headers)));
  }
}

const nothing = { write: async () => {}, close: async () => {}, abort: async () => {} };

function endless(onRead: () => void) {
  async function* source() {
    for (;;) {
      onRead();
      yield Buffer.alloc(64 * 1024);
    }
  }
  return { source: source(), sink: nothing };
}

/** A port that takes nothing and says nothing. */
function unread() {
  const never = new Promise<never>(() => {});
  return {
    source: { [Symbol.asyncIterator]: () => ({ next: () => never }) },
    sink: { ...nothing, write: () => never },
  };
}
