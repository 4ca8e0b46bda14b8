import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { describe, it } from "node:test";
import { exitStatus } from "@hawser/api";
import { WebSocket } from "ws";
import { collect, listenUpgrades } from "../testing/index.ts";
import { acceptRemoteCommand } from "./server.ts";
import type { AcceptOptions, ServerSession } from "./types.ts";

const streams = { stdin: true, stdout: true, stderr: true, tty: true };

function serve(run: (session: ServerSession) => Promise<unknown>, options: Partial<AcceptOptions> = {}) {
  return listenUpgrades(async (upgrade) => {
    await using session = await acceptRemoteCommand(upgrade, { ...streams, ...options });
    await run(session);
  });
}

/** A client that keeps each message as `text:` or nothing, then hex of the first byte, then the rest. */
async function open(url: URL, protocols: string[]) {
  const ws = new WebSocket(url, protocols);
  const messages: string[] = [];
  const closed = once(ws, "close");
  ws.on("message", (data: Buffer, binary) => {
    messages.push(binary ? `${data[0]}:${data.subarray(1)}` : `text ${data}`);
  });
  ws.on("error", () => {});
  await once(ws, "open");
  return { ws, messages, closed };
}

const handshake =
  "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n";
const status = JSON.stringify(exitStatus(2));

describe("a WebSocket client of old", () => {
  const echo = async (session: ServerSession) => {
    const reader = session.stdin?.[Symbol.asyncIterator]();
    const { value } = (await reader?.next()) ?? {};
    const size = await session.resize[Symbol.asyncIterator]().next();
    await session.stdout?.write(Buffer.from(`${Buffer.from(value ?? [])} ${size.value?.width}x${size.value?.height}`));
    await session.stderr?.write(Buffer.from("err"));
    await session.finish(exitStatus(2));
  };
  const base64 = (text: string) => Buffer.from(text).toString("base64");
  const cases: { protocols: string[]; send: (string | Buffer)[]; want: string[] }[] = [
    {
      protocols: ["v4.channel.k8s.io"],
      send: [Buffer.from("\0in"), Buffer.from('\x04{"Width":9,"Height":8}')],
      want: ["1:", "1:in 9x8", "2:err", `3:${status}`],
    },
    {
      protocols: ["v4.base64.channel.k8s.io"],
      send: [`0${base64("in")}`, `4${base64('{"Width":9,"Height":8}')}`],
      want: ["text 1", `text 1${base64("in 9x8")}`, `text 2${base64("err")}`, `text 3${base64(status)}`],
    },
    {
      protocols: ["channel.k8s.io"],
      send: [Buffer.from("\0in"), Buffer.from('\x04{"Width":9,"Height":8}')],
      want: ["1:", "1:in 9x8", "2:err", "3:command terminated with non-zero exit code: exit status 2"],
    },
    {
      protocols: [],
      send: [Buffer.from("\0in"), Buffer.from('\x04{"Width":9,"Height":8}')],
      want: ["1:", "1:in 9x8", "2:err", "3:command terminated with non-zero exit code: exit status 2"],
    },
    {
      protocols: ["v5.channel.k8s.io", "v4.channel.k8s.io", "v3.channel.k8s.io"],
      send: [Buffer.from("\0in"), Buffer.from('\x04{"height":8,"width":9}')],
      want: ["1:", "1:in 9x8", "2:err", `3:${status}`],
    },
  ];
  for (const { protocols, send, want } of cases) {
    it(`that offers [${protocols}]`, async () => {
      await using server = await serve(echo);
      const { ws, messages, closed } = await open(server.url, protocols);
      assert.equal(ws.protocol, protocols[0] ?? "");
      assert.equal(ws.extensions, "");
      for (const message of send) ws.send(message);
      const [code] = await closed;
      assert.equal(code, 1000);
      assert.deepEqual(messages, want);
    });
  }

  it("is told that it is connected on stderr, or on the error channel, where there is no stdout", async () => {
    const say = (session: ServerSession) => session.finish(exitStatus(0));
    await using one = await serve(say, { stdout: false });
    await using two = await serve(say, { stdout: false, stderr: false });
    for (const [server, first] of [
      [one, "2:"],
      [two, "3:"],
    ] as const) {
      const { messages, closed } = await open(server.url, ["v5.channel.k8s.io"]);
      await closed;
      assert.equal(messages[0], first);
    }
  });
});

describe("a WebSocket client that offers what we do not have", () => {
  it("gets a bare 403", async () => {
    await using server = await serve(async () => {});
    const socket = connect(server.port, "127.0.0.1");
    socket.write(handshake.replace("v5.", "v9."));
    assert.match(
      (await collect(socket)).toString(),
      /^HTTP\/1\.1 403 Forbidden\r\nDate: .*\r\nContent-Length: 0\r\nConnection: close\r\n\r\n$/,
    );
  });
  it("gets 405 with another method, 400 without a key", async () => {
    await using server = await serve(async () => {});
    for (const [method, key, code] of [
      ["POST", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n", 405],
      ["GET", "", 400],
    ] as const) {
      const socket = connect(server.port, "127.0.0.1");
      socket.write(
        `${method} / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n${key}\r\n`,
      );
      assert.match((await collect(socket)).toString(), new RegExp(`^HTTP/1.1 ${code} `));
    }
  });
});

for (const version of ["8", "12", "14", "13, 13", undefined]) {
  it(`a client of WebSocket version ${version} is told which one there is`, async () => {
    await using server = await serve(async () => {});
    const socket = connect(server.port, "127.0.0.1");
    socket.write(
      handshake.replace("Sec-WebSocket-Version: 13\r\n", version ? `Sec-WebSocket-Version: ${version}\r\n` : ""),
    );
    const answer = (await collect(socket)).toString();
    assert.match(answer, /^HTTP\/1\.1 426 Upgrade Required\r\n/);
    assert.match(answer, /\r\nSec-WebSocket-Version: 13\r\nUpgrade: websocket\r\n/);
  });
}

describe("a hostile WebSocket client", () => {
  const lost = () => {
    const { promise, resolve } = Promise.withResolvers<{ kind: string }>();
    const run = async (session: ServerSession) => {
      session.signal.addEventListener("abort", () => resolve(session.signal.reason));
      await collect(session.stdin ?? ([] as never)).catch(() => {});
      await promise;
    };
    return { run, promise };
  };
  const cases: { name: string; messages: (string | Buffer)[]; code: number }[] = [
    { name: "a close signal without a channel", messages: [Buffer.of(255)], code: 1002 },
    { name: "a close signal for channel 9", messages: [Buffer.of(255, 9)], code: 1002 },
    { name: "a message of 33 MiB", messages: [Buffer.alloc(33 * 1024 * 1024)], code: 1009 },
  ];
  for (const { name, messages, code } of cases) {
    it(`sends ${name}`, async () => {
      const { run, promise } = lost();
      await using server = await serve(run);
      const { ws, closed } = await open(server.url, ["v5.channel.k8s.io"]);
      for (const message of messages) ws.send(message);
      assert.equal((await closed)[0], code);
      assert.equal((await promise).kind, "protocol");
    });
  }

  it("sends channels nobody knows, and outputs of its own: they are ignored", async () => {
    await using server = await serve(async (session) => {
      const { value } = (await session.stdin?.[Symbol.asyncIterator]().next()) ?? {};
      await session.stdout?.write(value ?? Buffer.alloc(0));
      await session.finish(exitStatus(0));
    });
    const { ws, messages, closed } = await open(server.url, ["v5.channel.k8s.io"]);
    for (const text of ["\x09unknown", "\x01out", "\x03err", "", "\0in"]) ws.send(Buffer.from(text));
    await closed;
    assert.equal(messages[1], "1:in");
  });

  it("sends a frame without a mask, and does not answer the close", async () => {
    const gone = Promise.withResolvers<unknown>();
    await using server = await listenUpgrades(async (upgrade) => {
      await acceptRemoteCommand(upgrade, streams).then(
        ({ signal }) => signal.addEventListener("abort", () => gone.resolve(signal.reason)),
        gone.resolve,
      );
    });
    const socket = connect(server.port, "127.0.0.1");
    socket.write(handshake);
    socket.write(Buffer.from("820100", "hex"));
    assert.equal(((await gone.promise) as { kind: string }).kind, "protocol");
    socket.destroy();
  });
});

describe("heartbeats", () => {
  it("a client whose stdin nobody reads gets pongs unasked", async () => {
    await using server = await serve((session) => once(session.signal, "abort"), { pingIntervalMs: 20 });
    const { ws, closed } = await open(server.url, ["v5.channel.k8s.io"]);
    ws.send(Buffer.alloc(8 * 1024 * 1024));
    await once(ws, "pong");
    await once(ws, "pong");
    ws.terminate();
    await closed;
  });

  it("a ping is answered while the output has readers slower than it", async () => {
    await using server = await serve(async (session) => {
      const flood = async () => {
        for (;;) await session.stdout?.write(Buffer.alloc(64 * 1024));
      };
      await flood().catch(() => {});
    });
    const { ws, closed } = await open(server.url, ["v5.channel.k8s.io"]);
    ws.ping("are you there?");
    const [data] = await once(ws, "pong");
    assert.equal(data.toString(), "are you there?");
    ws.terminate();
    await closed;
  });

  it("a thousand pings behind an unread output are no reason to hang up, nor to keep a thousand answers", async () => {
    const { promise: stop, resolve } = Promise.withResolvers<void>();
    await using server = await serve(async (session) => {
      let full = false;
      while (!full) {
        const write = session.stdout?.write(Buffer.alloc(64 * 1024));
        full = (await Promise.race([write?.then(() => false), stop.then(() => true)])) ?? true;
      }
      session.finish(exitStatus(0)).catch(() => {});
      await once(session.signal, "abort");
    });
    const { ws, closed } = await open(server.url, ["v5.channel.k8s.io"]);
    ws.pause();
    for (let index = 0; index < 1000; index++) ws.ping(String(index));
    await new Promise<void>((done) => ws.ping("last", undefined, () => done()));
    resolve();
    const pongs: string[] = [];
    ws.on("pong", (data) => pongs.push(data.toString()));
    ws.resume();
    const [code] = await closed;
    assert.equal(code, 1000);
    assert.equal(pongs.at(-1), "last");
  });
});
