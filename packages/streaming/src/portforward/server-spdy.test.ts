import assert from "node:assert/strict";
import { afterEach, it } from "node:test";
import { duplexOf } from "../node.ts";
import { SpdyConnection } from "../spdy/connection.ts";
import { collect, connectedPair } from "../testing/index.ts";
import { socketTransport } from "../transport.ts";
import { serveStreams } from "./server-spdy.ts";
import type { AcceptPortForwardOptions } from "./types.ts";

let opened: AsyncDisposable[] = [];
afterEach(async () => {
  for (const session of opened) await session[Symbol.asyncDispose]();
  opened = [];
});

/** A client's connection to a server whose every port echoes. */
function start(options: Partial<AcceptPortForwardOptions> = {}) {
  const [near, far] = connectedPair();
  const errors: string[] = [];
  const session = serveStreams(socketTransport(far, Buffer.alloc(0)), {
    ports: [],
    reportErrors: false,
    streamCreationTimeoutMs: 30_000,
    idleTimeoutMs: 0,
    pingIntervalMs: 0,
    onError: (port, error) => errors.push(`${port}: ${error instanceof Error ? error.message : error}`),
    async connect() {
      const [ours, theirs] = connectedPair();
      theirs.pipe(theirs);
      return duplexOf(ours);
    },
    ...options,
  });
  opened.push(session);
  const client = new SpdyConnection(socketTransport(near, Buffer.alloc(0)), { role: "client", maxStreams: 0 });
  client.start();
  const open = (type: string, rest: Record<string, string> = { port: "80", requestid: "0" }) =>
    client.open([["streamtype", type], ...Object.entries(rest)]);
  return { open, errors };
}

it("takes the streams of a pair in any order", async () => {
  const { open } = start();
  const data = open("data");
  const error = open("error");
  await data.sink.write(Buffer.from("hi"));
  await data.sink.close();
  assert.equal((await collect(data.source)).toString(), "hi");
  assert.equal((await collect(error.source)).byteLength, 0);
});

it("pairs the streams of ancient clients by their ids", async () => {
  const { open } = start();
  open("error", { port: "80" });
  const data = open("data", { port: "80" });
  await data.sink.write(Buffer.from("old"));
  await data.sink.close();
  assert.equal((await collect(data.source)).toString(), "old");
});

for (const [name, type, headers] of [
  ["no port", "data", { requestid: "0" }],
  ["port 0", "data", { port: "0", requestid: "0" }],
  ["port 65536", "error", { port: "65536", requestid: "0" }],
  ["port 8o", "error", { port: "8o", requestid: "0" }],
  ["a type of its own", "control", { port: "80", requestid: "0" }],
] as const) {
  it(`resets a stream with ${name}, and goes on`, async () => {
    const { open } = start();
    await assert.rejects(collect(open(type, headers).source), { kind: "truncated" });
    open("error", { port: "80", requestid: "9" });
    const data = open("data", { port: "80", requestid: "9" });
    await data.sink.close();
    assert.equal((await collect(data.source)).byteLength, 0);
  });
}

it("resets the second stream of a kind", async () => {
  const { open } = start();
  open("error");
  await assert.rejects(collect(open("error").source), { kind: "truncated" });
});

it("resets a stream whose other half does not come in time", async () => {
  const { open, errors } = start({ streamCreationTimeoutMs: 10 });
  await assert.rejects(collect(open("data").source), { kind: "truncated" });
  assert.deepEqual(errors, ["80: request 0: timed out waiting for streams"]);
});

it("replies to a data stream when there is a connection, and resets it without a reply when there is none", async () => {
  const dialled = Promise.withResolvers<void>();
  const refused = Promise.withResolvers<never>();
  const { open } = start({
    connect() {
      dialled.resolve();
      return refused.promise;
    },
  });
  const error = open("error");
  await error.sink.close(); // it was replied to, as kubectl waits for
  const data = open("data");
  const written = data.sink.write(Buffer.from("x"));
  await dialled.promise;
  refused.reject(new Error("nobody there"));
  await assert.rejects(written, { kind: "truncated" }); // to Go: "stream reset", from CreateStream
  assert.equal((await collect(error.source)).toString(), "error forwarding port 80: nobody there");
});

it("forgets half a pair that is reset, and resets its other half", async () => {
  const { open } = start();
  for (let count = 0; count < 3000; count++) {
    const error = open("error", { port: "80", requestid: String(count) });
    error.reset();
  }
  const data = open("data", { port: "80", requestid: "0" }); // the first half of a new pair
  open("error", { port: "80", requestid: "0" });
  await data.sink.write(Buffer.from("x"));
  await data.sink.close();
  assert.equal((await collect(data.source)).toString(), "x");
});

it("tells whoever opens a connection when its client has given it up", async () => {
  const given = Promise.withResolvers<unknown>();
  const dialled = Promise.withResolvers<void>();
  const { open } = start({
    async connect(_port, signal) {
      dialled.resolve();
      const { promise, reject } = Promise.withResolvers<never>();
      signal.addEventListener("abort", () => reject(signal.reason));
      await promise.catch(given.resolve);
      return promise;
    },
  });
  open("error");
  const data = open("data");
  await dialled.promise;
  data.reset();
  await given.promise;
});
