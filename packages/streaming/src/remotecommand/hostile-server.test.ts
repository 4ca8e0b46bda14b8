// The client's side: a server that breaks the protocol ends in a clear error and a closed connection, never in a success.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, it } from "node:test";
import { deflateSync } from "node:zlib";
import { exitStatus } from "@hawser/api";
import { silentLogger } from "@hawser/trace";
import { proxyUpgrade } from "../proxy/proxy.ts";
import { dictionary } from "../spdy/dictionary.ts";
import { encodeDataHeader, encodeGoAway, encodeSynReply, encodeSynStream } from "../spdy/frame.ts";
import { HeaderEncoder } from "../spdy/headers.ts";
import { collect, listenUpgrades } from "../testing/index.ts";
import { responseHead } from "../upgrade/accept.ts";
import { encodeFrameHeader, encodeMaskedFrame, Opcode } from "../websocket/frame.ts";
import { openRemoteCommand } from "./client.ts";
import { Protocol } from "./protocols.ts";

const streams = { stdin: true, stdout: true, stderr: false, tty: false };
const hex = (text: string) => Buffer.from(text.replaceAll(" ", ""), "hex");

/** Agrees to every upgrade, sends these bytes, and then does nothing more: it never closes. */
async function hostile(bytes: () => Buffer[], protocol: string) {
  const left = Promise.withResolvers<void>();
  const server = await listenUpgrades(({ request, socket }) => {
    const key = `${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
    const headers =
      request.method === "GET"
        ? {
            Upgrade: "websocket",
            "Sec-WebSocket-Accept": createHash("sha1").update(key).digest("base64"),
            "Sec-WebSocket-Protocol": protocol,
          }
        : { Upgrade: "SPDY/3.1", "X-Stream-Protocol-Version": protocol };
    socket.on("error", () => {});
    socket.on("end", () => left.resolve()).on("close", () => left.resolve());
    socket.write(responseHead(101, { Connection: "Upgrade", ...headers }));
    for (const chunk of bytes()) socket.write(chunk);
    socket.resume();
  });
  /** Resolves when the client has hung up. */
  return Object.assign(server, { left: left.promise });
}

interface Case {
  name: string;
  bytes: () => Buffer[];
  protocol?: string;
  /** The message of the session's error. */
  want: RegExp;
}

const message = (text: string, opcode: Opcode = Opcode.binary) => {
  const payload = Buffer.from(text, "latin1");
  return Buffer.concat([encodeFrameHeader(opcode, payload.byteLength), payload]);
};
const close = (code: number) => hex(`8802${code.toString(16).padStart(4, "0")}`);
const success = `\x03${JSON.stringify(exitStatus(0))}`;

const overWebSocket: Case[] = [
  { name: "a text", bytes: () => [message("\x01hi", Opcode.text)], want: /close 1003: unexpected message type: 1/ },
  {
    name: "a masked frame",
    bytes: () => [encodeMaskedFrame(Opcode.binary, Buffer.from("\x01hi"))],
    want: /MASK must be clear/,
  },
  { name: "a reserved bit", bytes: () => [hex("c20101")], want: /RSV1 must be clear/ },
  { name: "a kind of frame that is none", bytes: () => [hex("830101")], want: /invalid opcode 3/ },
  { name: "a message of 33 MiB", bytes: () => [hex("827f 0000000002100000")], want: /Max payload size exceeded/ },
  { name: "a ping of 126 bytes", bytes: () => [hex("897e007e"), Buffer.alloc(126)], want: /invalid payload length/ },
  { name: "HTTP", bytes: () => [Buffer.from("HTTP/1.1 200 OK\r\n\r\n")], want: /websocket: close 100/ },
  {
    name: "a status without end",
    bytes: () => Array.from({ length: 9 }, () => message(`\x03${" ".repeat(8000)}`)),
    want: /more than 65536 bytes/,
  },
  { name: "a status that is none, and 1000", bytes: () => [message("\x03{}"), close(1000)], want: /not a Status/ },
  { name: "1000, and no status", bytes: () => [close(1000)], want: /without saying how/ },
  { name: "a success, and 1011", bytes: () => [message(success), close(1011)], want: /an output was cut/ },
  {
    name: "base64 that is none",
    protocol: Protocol.v4Base64,
    bytes: () => [message("1a*==", Opcode.text)],
    want: /close 1007: message is not base64/,
  },
  {
    name: "base64 that is cut",
    protocol: Protocol.v4Base64,
    bytes: () => [message("1aGk", Opcode.text), message("1aG", Opcode.text)],
    want: /close 1007: message is not base64/,
  },
];

const reply = (encoder: HeaderEncoder, id: number) => encodeSynReply(id, encoder.encode([]));
const data = (id: number, text: string, fin = true) =>
  Buffer.concat([encodeDataHeader(id, text.length, fin), Buffer.from(text)]);

const overSpdy: Case[] = [
  { name: "a frame of SPDY/2", bytes: () => [hex("8002 0001 00 000000")], want: /version 2/ },
  { name: "a control frame of 16 MiB", bytes: () => [hex("8003 0001 00 ffffff")], want: /16777215 bytes/ },
  { name: "data on stream 0", bytes: () => [hex("00000000 00 000001")], want: /stream 0/ },
  {
    name: "a bomb of headers",
    bytes: () => [encodeSynReply(1, deflateSync(Buffer.alloc(16 << 20), { dictionary }))],
    want: /larger than 16384/,
  },
  { name: "headers that are no zlib", bytes: () => [encodeSynReply(1, hex("deadbeef"))], want: /inflate/ },
  { name: "goodbye, and stays", bytes: () => [encodeGoAway(0, 0)], want: /goodbye/ },
  {
    name: "a status without end",
    bytes: () => [reply(new HeaderEncoder(), 1), ...Array.from({ length: 9 }, () => data(1, " ".repeat(8000), false))],
    want: /more than 65536 bytes/,
  },
  {
    name: "ends without a status",
    bytes: () => {
      const encoder = new HeaderEncoder();
      return [...[1, 3, 5].map((id) => reply(encoder, id)), data(5, ""), data(1, "")];
    },
    want: /without saying how/,
  },
  {
    name: "a success, and cuts the output",
    bytes: () => {
      const encoder = new HeaderEncoder();
      const cut = hex("8003 0003 00 000008 00000005 00000006");
      return [...[1, 3, 5].map((id) => reply(encoder, id)), data(5, "half", false), cut, data(1, success.slice(1))];
    },
    want: /an output was cut/,
  },
];

describe("a hostile server", { concurrency: 8 }, () => {
  for (const [transport, protocol, cases] of [
    ["websocket", Protocol.v5, overWebSocket],
    ["spdy", Protocol.v4, overSpdy],
  ] as const) {
    for (const each of cases) {
      it(`over ${transport}: ${each.name}`, { timeout: 20_000 }, async () => {
        const chosen = each.protocol ?? protocol;
        await using server = await hostile(each.bytes, chosen);
        const options = { ...streams, transports: [transport], protocols: [chosen] } as const;
        await using session = await openRemoteCommand({ url: server.url }, options);
        const read = collect(session.stdout ?? ([] as never)).catch(() => {});
        await assert.rejects(session.status, { message: each.want });
        await read;
        // It has not closed, and does not: we do.
        await server.left;
      });
    }
  }

  it("over SPDY: opens streams of its own by the thousand: they are refused, and the session goes on", async () => {
    await using server = await hostile(() => {
      const encoder = new HeaderEncoder();
      const mine = Array.from({ length: 2000 }, (_, index) => encodeSynStream(2 * index + 2, encoder.encode([])));
      const replies = [1, 3, 5].map((id) => reply(encoder, id));
      return [...mine, ...replies, data(5, "out"), data(1, success.slice(1))];
    }, Protocol.v4);
    await using session = await openRemoteCommand({ url: server.url }, { ...streams, transports: ["spdy"] });
    assert.ok(session.stdout);
    assert.equal((await collect(session.stdout)).toString(), "out");
    assert.deepEqual(await session.status, exitStatus(0));
  });

  it("over WebSocket: channels nobody knows, 255 among them, are skipped", async () => {
    const parts = ["\x09what", "\xff\x01", "", "\x01out", success];
    await using server = await hostile(() => [...parts.map((text) => message(text)), close(1000)], Protocol.v5);
    await using session = await openRemoteCommand({ url: server.url }, { ...streams, transports: ["websocket"] });
    assert.ok(session.stdout);
    assert.equal((await collect(session.stdout)).toString(), "out");
    assert.deepEqual(await session.status, exitStatus(0));
  });

  for (const { name, bytes, want } of overSpdy.filter(({ name }) => name !== "a success, and cuts the output")) {
    it(`behind a hop that translates: ${name}`, { timeout: 20_000 }, async () => {
      await using server = await hostile(bytes, Protocol.v4);
      const target = { url: server.url };
      await using hop = await listenUpgrades((upgrade) =>
        proxyUpgrade(upgrade, { target, kind: "remotecommand", streams, nextHop: "spdy", log: silentLogger }),
      );
      await using session = await openRemoteCommand({ url: hop.url }, { ...streams, transports: ["websocket"] });
      const read = collect(session.stdout ?? ([] as never)).catch(() => {});
      await assert.rejects(session.status, { name: "StreamError", kind: "lost", message: want }); // by a Status that says so
      await read;
      await server.left;
    });
  }
});
