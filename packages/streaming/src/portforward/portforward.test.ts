import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { describe, it } from "node:test";
import { silentLogger } from "@hawser/trace";
import { WebSocket } from "ws";
import { duplexOf } from "../node.ts";
import { proxyUpgrade } from "../proxy/proxy.ts";
import { collect, listenUpgrades } from "../testing/index.ts";
import { openPortForward } from "./client.ts";
import { acceptPortForward } from "./server.ts";
import type { AcceptPortForwardOptions } from "./types.ts";

async function dial(port: number, signal: AbortSignal) {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true, signal });
  await once(socket, "connect");
  return duplexOf(socket);
}

async function service(onConnection: (socket: Socket) => void) {
  const server = createServer({ allowHalfOpen: true }, onConnection);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  return {
    port: typeof address === "object" && address ? address.port : 0,
    async [Symbol.asyncDispose]() {
      server.close();
    },
  };
}

/** Reads everything, and only after the end of input answers with its length: half-close, both ways. */
const counter = (socket: Socket) => {
  let length = 0;
  socket.on("data", (chunk) => {
    length += chunk.length;
  });
  socket.on("end", () => socket.end(`${length} bytes`));
};

const serve = (options: Partial<AcceptPortForwardOptions> = {}) =>
  listenUpgrades(async (upgrade) => {
    await using session = await acceptPortForward(upgrade, { connect: dial, ...options });
    await session.closed;
  });

const paths = [
  { name: "SPDY", transports: ["spdy"], hops: [] },
  { name: "the WebSocket tunnel", transports: ["websocket"], hops: [] },
  { name: "SPDY, spliced", transports: ["spdy"], hops: ["spdy"] },
  { name: "the tunnel, spliced", transports: ["websocket"], hops: ["websocket"] },
  { name: "the tunnel, taken apart on the way", transports: ["websocket"], hops: ["spdy", "websocket"] },
] as const;

for (const { name, transports, hops } of paths) {
  describe(`port-forward over ${name}`, () => {
    async function open(options: Partial<AcceptPortForwardOptions> = {}) {
      const stack = new AsyncDisposableStack();
      const last = stack.use(await serve(options));
      let { url } = last;
      for (const nextHop of hops) {
        const target = { url };
        const hop = stack.use(
          await listenUpgrades((upgrade) =>
            proxyUpgrade(upgrade, { target, kind: "portforward", nextHop, log: silentLogger }),
          ),
        );
        ({ url } = hop);
      }
      const session = stack.use(await openPortForward({ url }, { transports }));
      return { session, last, [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose]() };
    }

    it("carries many connections to several ports, each with its half-closes", async () => {
      await using one = await service(counter);
      await using two = await service((socket) => socket.pipe(socket));
      await using path = await open();
      const sent = randomBytes(700_000);
      await Promise.all(
        Array.from({ length: 20 }, async (_, index) => {
          const echo = index % 2 === 0;
          const connection = await path.session.connect(echo ? two.port : one.port);
          const got = collect(connection.source);
          await connection.sink.write(sent);
          await connection.sink.close();
          if (echo) assert.ok((await got).equals(sent));
          else assert.equal((await got).toString(), "700000 bytes");
          assert.equal(await connection.error, undefined);
        }),
      );
    });

    it("outlives a connection that fails, and says why", async () => {
      await using echo = await service((socket) => socket.pipe(socket));
      const errors: unknown[] = [];
      await using path = await open({ onError: (_port, error) => errors.push(error) });
      const bad = await path.session.connect(1);
      await assert.rejects(collect(bad.source), { name: "StreamError" });
      assert.equal(await bad.error, "error forwarding port 1: dial tcp localhost:1: connect: connection refused");
      assert.equal((errors[0] as { code?: string }).code, "ECONNREFUSED");
      const good = await path.session.connect(echo.port);
      await good.sink.write(Buffer.from("still here"));
      await good.sink.close();
      assert.equal((await collect(good.source)).toString(), "still here");
    });

    it("passes a reset on, to the port and to the client", async () => {
      const closed = Promise.withResolvers<void>();
      await using drop = await service((socket) => {
        socket.once("data", () => socket.resetAndDestroy());
      });
      await using hold = await service((socket) => {
        socket.on("error", () => {});
        socket.on("close", () => closed.resolve());
        socket.resume();
      });
      await using path = await open();
      const dropped = await path.session.connect(drop.port);
      await dropped.sink.write(Buffer.from("x"));
      await assert.rejects(collect(dropped.source), { name: "StreamError" });
      const held = await path.session.connect(hold.port);
      await held.sink.write(Buffer.from("x"));
      await held.sink.abort(new Error("enough"));
      await closed.promise;
    });

    it("a connection whose port takes nothing holds up the others only from a MiB on, and not for good", async () => {
      const held: Socket[] = [];
      await using slow = await service((socket) => held.push(socket.on("error", () => {}).pause()));
      await using quick = await service((socket) => socket.pipe(socket));
      await using path = await open();
      const exchange = async () => {
        const sent = randomBytes(1_500_000);
        const connection = await path.session.connect(quick.port);
        const [got] = await Promise.all([
          collect(connection.source),
          connection.sink.write(sent).then(() => connection.sink.close()),
        ]);
        assert.ok(got.equals(sent));
      };
      const stalled = await path.session.connect(slow.port);
      await stalled.sink.write(Buffer.alloc(900_000));
      await Promise.all([exchange(), exchange()]);

      // What no bound could hold: SPDY knows no windows, and now the whole connection waits.
      const total = 32 * 1024 * 1024;
      const feed = (async () => {
        for (let sent = 0; sent < total; sent += 65_536) await stalled.sink.write(Buffer.alloc(65_536));
        await stalled.sink.close();
      })();
      const waiting = exchange();
      let taken = 0;
      const all = Promise.withResolvers<void>();
      for (const socket of held) {
        socket.on("data", (chunk) => {
          taken += chunk.length;
        });
        socket.on("end", () => all.resolve());
        socket.resume();
      }
      await Promise.all([feed, waiting, all.promise]);
      assert.equal(taken, 900_000 + total);
    });

    it("a connection that its client does not read holds up the others only from a MiB on, and no more once it is given up", async () => {
      await using flood = await service((socket) => {
        socket.on("error", () => {});
        const more = () => {
          while (socket.writable && socket.write(Buffer.alloc(65_536)));
        };
        socket.on("drain", more);
        more();
      });
      await using some = await service((socket) => socket.on("error", () => {}).end(Buffer.alloc(900_000)));
      await using echo = await service((socket) => socket.pipe(socket));
      await using path = await open();
      const exchange = async (text: string) => {
        const connection = await path.session.connect(echo.port);
        await connection.sink.write(Buffer.from(text));
        await connection.sink.close();
        assert.equal((await collect(connection.source)).toString(), text);
      };
      const unread = await path.session.connect(some.port);
      await exchange("below a MiB");
      const endless = await path.session.connect(flood.port);
      const late = exchange("behind an endless one"); // which waits
      await endless.sink.abort(new Error("enough of it"));
      await late;
      assert.equal((await collect(unread.source)).byteLength, 900_000);
    });

    it("tells when the session is lost, and leaves no connection behind", async () => {
      const gone = Promise.withResolvers<void>();
      await using hold = await service((socket) => {
        socket.on("error", () => {});
        socket.on("close", () => gone.resolve());
        socket.on("end", () => socket.end());
        socket.resume();
        socket.write("hello");
      });
      await using path = await open();
      const connection = await path.session.connect(hold.port);
      await connection.source[Symbol.asyncIterator]().next();
      for (const socket of path.last.connections) socket.destroy();
      await assert.rejects(path.session.closed, { name: "StreamError", kind: "lost" });
      await gone.promise;
    });
  });
}

for (const { name, reportErrors, want } of [
  { name: "is a reset without a word, of which kubectl would die", reportErrors: false, want: /^$/ },
  {
    name: "has its reason on the error stream where that is wished",
    reportErrors: true,
    want: /^error forwarding port/,
  },
]) {
  it(`a connection that breaks off after it was made ${name}`, async () => {
    await using drop = await service((socket) => socket.once("data", () => socket.resetAndDestroy()));
    await using server = await serve({ reportErrors });
    await using session = await openPortForward({ url: server.url });
    const connection = await session.connect(drop.port);
    await connection.sink.write(Buffer.from("x"));
    await assert.rejects(collect(connection.source), { name: "StreamError" });
    assert.match((await connection.error) ?? "", want);
  });
}

describe("legacy WebSocket, our client", () => {
  const serveURLPorts = () =>
    listenUpgrades(async (upgrade) => {
      const ports = new URL(upgrade.request.url ?? "", "http://h").searchParams.getAll("ports").map(Number);
      await using session = await acceptPortForward(upgrade, { connect: dial, ports });
      await session.closed;
    });
  for (const protocols of [undefined, ["v4.base64.channel.k8s.io"]]) {
    it(`carries many connections to several ports, ${protocols ?? "binary"}`, async () => {
      await using big = await service((socket) => {
        let length = 0;
        socket.on("data", (chunk) => {
          length += chunk.length;
          if (length === 300_000) socket.end(`${length} bytes`);
        });
      });
      await using echo = await service((socket) => socket.once("data", (chunk) => socket.end(chunk)));
      await using server = await serveURLPorts();
      await using session = await openPortForward(
        { url: server.url },
        { transports: ["legacy"], ...(protocols && { protocols }) },
      );
      assert.equal(session.transport, "legacy");
      await Promise.all(
        Array.from({ length: 10 }, async (_, index) => {
          const connection = await session.connect(index % 2 === 0 ? big.port : echo.port);
          const got = collect(connection.source);
          await connection.sink.write(index % 2 === 0 ? randomBytes(300_000) : Buffer.from("hello"));
          await connection.sink.close(); // which the protocol cannot tell
          assert.equal((await got).toString(), index % 2 === 0 ? "300000 bytes" : "hello");
          assert.equal(await connection.error, undefined);
        }),
      );
    });
  }

  it("says why a port failed, alone", async () => {
    await using echo = await service((socket) => socket.once("data", (chunk) => socket.end(chunk)));
    await using server = await serveURLPorts();
    await using session = await openPortForward({ url: server.url }, { transports: ["legacy"] });
    const good = await session.connect(echo.port);
    const bad = await session.connect(1);
    await assert.rejects(collect(bad.source), {
      name: "StreamError",
      kind: "truncated",
      message: /connection refused/,
    });
    assert.match((await bad.error) ?? "", /connection refused/);
    await good.sink.write(Buffer.from("here"));
    assert.equal((await collect(good.source)).toString(), "here");
  });

  it("refuses a server that names another port", async () => {
    await using server = await listenUpgrades(async (upgrade) => {
      await using session = await acceptPortForward(upgrade, { connect: dial, ports: [7777] });
      await session.closed;
    });
    await using session = await openPortForward({ url: server.url }, { transports: ["legacy"] });
    const connection = await session.connect(80);
    await assert.rejects(collect(connection.source), { name: "StreamError", kind: "protocol", message: /the port 80/ });
  });

  it("goes with its session", async () => {
    await using hold = await service((socket) => socket.on("error", () => {}).resume());
    await using server = await serveURLPorts();
    const session = await openPortForward({ url: server.url }, { transports: ["legacy"] });
    const connection = await session.connect(hold.port);
    await session[Symbol.asyncDispose]();
    await session.closed;
    await collect(connection.source).catch(() => {});
    while (server.connections.size > 0) await once([...server.connections][0] as Socket, "close");
  });
});

describe("legacy WebSocket", () => {
  async function client(url: URL, protocols: string[]) {
    const ws = new WebSocket(url, protocols);
    const messages: Buffer[] = [];
    const closed = once(ws, "close");
    ws.on("message", (data: Buffer) => messages.push(data));
    await once(ws, "open");
    return { ws, messages, closed };
  }
  const withPort = (port: number[]) => serve({ ports: port });

  it("names each port on its two channels, then carries the data", async () => {
    await using echo = await service((socket) => socket.once("data", (chunk) => socket.end(chunk)));
    await using server = await withPort([echo.port]);
    const { ws, messages, closed } = await client(server.url, ["v4.channel.k8s.io"]);
    ws.send(Buffer.from("\0ping"));
    const [code] = await closed;
    const port = Buffer.alloc(2);
    port.writeUInt16LE(echo.port);
    assert.equal(code, 1000);
    assert.deepEqual(messages.slice(0, 2), [Buffer.concat([Buffer.of(0), port]), Buffer.concat([Buffer.of(1), port])]);
    assert.equal(messages[2]?.toString(), "\0ping");
  });

  it("speaks base64, and tells on the error channel why a port failed", async () => {
    await using server = await withPort([1]);
    const { messages, closed } = await client(server.url, ["v4.base64.channel.k8s.io"]);
    await closed;
    assert.equal(messages[0]?.toString(), `0${Buffer.of(1, 0).toString("base64")}`);
    assert.match(
      Buffer.from(messages[2]?.toString().slice(1) ?? "", "base64").toString(),
      /^error forwarding port 1: .*connection refused/,
    );
    assert.equal(messages[2]?.toString()[0], "1");
  });

  it("serves several ports on one WebSocket, of which one fails alone", async () => {
    await using echo = await service((socket) => socket.once("data", (chunk) => socket.end(chunk)));
    await using server = await withPort([1, echo.port]);
    const { ws, messages, closed } = await client(server.url, ["v4.channel.k8s.io"]);
    ws.send(Buffer.from("\x02ping"));
    await closed;
    const of = (channel: number) => messages.filter(([first]) => first === channel).map((each) => each.subarray(1));
    assert.match(Buffer.concat(of(1)).subarray(2).toString(), /^error forwarding port 1: .*connection refused$/);
    assert.equal(Buffer.concat(of(2)).subarray(2).toString(), "ping");
    assert.equal(Buffer.concat(of(3)).length, 2);
  });

  it("needs a port", async () => {
    await using server = await withPort([]);
    const ws = new WebSocket(server.url, ["v4.channel.k8s.io"]);
    const [error] = await once(ws, "error");
    assert.match(String(error), /400/);
  });
});
