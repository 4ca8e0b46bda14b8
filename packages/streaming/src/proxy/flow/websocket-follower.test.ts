import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { describe, it } from "node:test";
import { brokenOffStatus } from "../../remotecommand/broken-off.ts";
import { Protocol } from "../../remotecommand/protocols.ts";
import { socketTransport } from "../../transport.ts";
import { Channel } from "../../websocket/channels.ts";
import { encodeFrameHeader, encodeMaskedFrame, Opcode } from "../../websocket/frame.ts";
import { followWebSocket } from "./websocket-follower.ts";

function session(protocol?: string) {
  const follower = followWebSocket(protocol);
  const target = () => {
    const stream = new PassThrough();
    return { stream, to: socketTransport(stream, Buffer.alloc(0)), written: () => {} };
  };
  const [server, client] = [target(), target()];
  return {
    follower,
    fromClient: follower.fromClient(server),
    fromServer: follower.fromNextHop(client),
    atClient: () => client.stream.read() as Buffer | null,
  };
}

const message = (channel: number, text: string) =>
  Buffer.concat([encodeFrameHeader(Opcode.binary, text.length, channel), Buffer.from(text)]);

/** A server's answer to a ping. */
function pongTo(ping: Uint8Array): Buffer {
  const mask = ping.subarray(2, 6);
  const payload = ping.subarray(6).map((byte, index) => byte ^ (mask[index % 4] ?? 0));
  return Buffer.concat([Buffer.of(0x8a, payload.byteLength), payload]);
}

const status = brokenOffStatus("gone");
const close = (code: number) => Buffer.of(0x88, 2, code >> 8, code & 0xff);

describe("the last words of a hop over WebSocket", () => {
  const json = JSON.stringify(status);

  it("are a Status in the protocol's form and a close, once", () => {
    for (const [protocol, words] of [
      [Protocol.v5, message(Channel.error, json)],
      [Protocol.v4Base64, encodeFrameHeader(Opcode.text, Buffer.from(json).toString("base64").length, 0x33)],
    ] as const) {
      const { follower } = session(protocol);
      const said = Buffer.concat(follower.ending(status));
      assert.ok(said.subarray(0, words.byteLength).equals(words), protocol);
      assert.ok(said.subarray(-4).equals(close(1000)));
      assert.deepEqual(follower.ending(status), []);
    }
  });

  it("are a close alone behind a Status, within a message and for what is no command; and none behind a close", () => {
    const begun = message(Channel.stdout, "out");
    begun[0] = Opcode.binary; // not the last frame of its message
    for (const [protocol, before, words] of [
      [Protocol.v5, message(Channel.error, "{}"), [close(1011)]],
      [Protocol.v5, begun, [close(1011)]],
      [undefined, message(Channel.stdout, "out"), [close(1011)]],
      [Protocol.v5, close(1000), []],
    ] as const) {
      const { follower, fromServer } = session(protocol);
      fromServer.push(before);
      assert.deepEqual(follower.ending(status), words);
    }
  });
});

describe("a hop's pings over WebSocket", () => {
  it("are answered for the hop alone, and are no use of the session; others' are", () => {
    const { follower, fromServer, atClient } = session();
    assert.equal(fromServer.push(pongTo(follower.ping())), false);
    assert.equal(atClient(), null);
    const another = pongTo(followWebSocket().ping()); // a hop's before this one
    assert.equal(fromServer.push(another), false);
    assert.ok(atClient()?.equals(another));
    const clients = Buffer.concat([Buffer.of(0x8a, 2), Buffer.from("me")]);
    assert.equal(fromServer.push(clients), true);
    assert.ok(atClient()?.equals(clients));
  });

  it("tell what a server has surely taken: all that came before the first of those that it now answers", () => {
    const { follower, fromClient, fromServer } = session(Protocol.v5);
    const type = (bytes: number) => fromClient.push(encodeMaskedFrame(Opcode.binary, Buffer.alloc(bytes), 0));
    const first = follower.ping();
    type(999);
    const second = follower.ping();
    fromServer.push(pongTo(first));
    assert.equal(follower.sent(), 1000);
    fromServer.push(pongTo(second));
    const third = follower.ping();
    type(99);
    fromServer.push(pongTo(third));
    assert.equal(follower.sent(), 100);
  });
});
