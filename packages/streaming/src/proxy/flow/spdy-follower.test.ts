import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { describe, it } from "node:test";
import { brokenOffStatus } from "../../remotecommand/broken-off.ts";
import { Protocol } from "../../remotecommand/protocols.ts";
import { encodeDataHeader, encodeGoAway, encodePing, encodeRstStream, encodeSynStream } from "../../spdy/frame.ts";
import { HeaderEncoder } from "../../spdy/headers.ts";
import { socketTransport } from "../../transport.ts";
import { followSpdy } from "./spdy-follower.ts";

function session(protocol?: string) {
  const follower = followSpdy(protocol);
  const target = () => {
    const stream = new PassThrough();
    return { stream, to: socketTransport(stream, Buffer.alloc(0)), written: () => {} };
  };
  const [server, client] = [target(), target()];
  const encoder = new HeaderEncoder();
  return {
    follower,
    fromClient: follower.fromClient(server),
    fromServer: follower.fromNextHop(client),
    atClient: () => client.stream.read() as Buffer | null,
    open: (id: number, type: string) => encodeSynStream(id, encoder.encode([["streamtype", type]])),
  };
}

/** A session whose client has opened its error stream as the first. */
function opened(protocol: string) {
  const all = session(protocol);
  for (const byte of Buffer.concat([all.open(1, "error"), all.open(3, "stdout")])) all.fromClient.push(Buffer.of(byte));
  return all;
}

const status = brokenOffStatus("gone");

describe("the last words of a hop over SPDY", () => {
  it("are the protocol's: JSON from v4 on, a text before", () => {
    for (const [protocol, text] of [
      [Protocol.v4, JSON.stringify(status)],
      [Protocol.v3, status.message],
      [Protocol.v1, status.message],
    ] as const) {
      const all = Buffer.concat(opened(protocol).follower.ending(status));
      assert.deepEqual(all, Buffer.concat([encodeDataHeader(1, text?.length ?? 0, true), Buffer.from(text ?? "")]));
    }
  });

  it("are said once, and not behind a Status, a goodbye, or before there is a stream for them", () => {
    const once = opened(Protocol.v4);
    assert.equal(once.follower.ending(status).length, 2);
    assert.deepEqual(once.follower.ending(status), []);
    for (const bytes of [encodeDataHeader(1, 0, true), encodeGoAway(0, 0)]) {
      const last = opened(Protocol.v4);
      for (const byte of bytes) last.fromServer.push(Buffer.of(byte));
      assert.deepEqual(last.follower.ending(status), []);
    }
    assert.deepEqual(session(Protocol.v4).follower.ending(status), []);
    assert.deepEqual(session().follower.ending(status), []);
  });

  it("are said in place of a Status that was cut", () => {
    const { follower, fromServer, atClient } = opened(Protocol.v4);
    fromServer.push(Buffer.concat([encodeDataHeader(1, 20, true), Buffer.from('{"status":')]));
    fromServer.flush();
    assert.equal(atClient(), null);
    assert.equal(follower.ending(status).length, 2);
  });

  it("are none for a client that speaks something else", () => {
    const { follower, fromClient, open } = session(Protocol.v4);
    fromClient.push(Buffer.from([0x80, 3, 0, 1, 0, 0, 0, 30, ...Buffer.alloc(30, "not a header block")]));
    fromClient.push(open(1, "error"));
    assert.deepEqual(follower.ending(status), []);
  });
});

describe("a hop's pings over SPDY", () => {
  it("are odd, as a client's; their answers do not reach it, and others' do", () => {
    const { follower, fromServer, atClient } = session();
    const ping = Buffer.from(follower.ping());
    assert.equal(ping.readUInt32BE(8) % 2, 1);
    assert.equal(fromServer.push(ping), false);
    assert.equal(atClient(), null);
    assert.equal(fromServer.push(encodePing(1)), true);
    assert.ok(atClient()?.equals(encodePing(1)));
    const another = Buffer.from(followSpdy().ping()); // a hop's before this one: no use of the session, but his
    assert.equal(fromServer.push(another), false);
    assert.ok(atClient()?.equals(another));
  });
});

describe("what a client has sent", () => {
  const data = (id: number, bytes: number, fin = false) =>
    Buffer.concat([encodeDataHeader(id, bytes, fin), Buffer.alloc(bytes)]);

  it("counts by stream, until that is over", () => {
    const { follower, fromClient, fromServer, open } = session();
    fromClient.push(Buffer.concat([open(3, "data"), open(7, "data")]));
    fromClient.push(Buffer.concat([data(3, 100), data(7, 50_000), data(7, 5, true)]));
    assert.equal(follower.sent(), 50_005);
    fromServer.push(data(3, 7));
    fromServer.push(data(7, 0, true));
    assert.equal(follower.sent(), 100);
    fromServer.push(encodeRstStream(3, 5));
    assert.equal(follower.sent(), 0);
  });

  it("does not count behind a reset, and as one on streams beyond 4,096", () => {
    const { follower, fromClient, fromServer, open } = session();
    const stream = (id: number) => Buffer.concat([open(id, "data"), data(id, 100)]);
    for (let id = 1; id < 2 * 5000; id += 2) {
      fromClient.push(stream(id));
      fromServer.push(encodeRstStream(id, 5));
      fromClient.push(data(id, 100, true)); // it was on its way
    }
    assert.equal(follower.sent(), 0);
    for (let count = 0; count < 4096; count++) fromClient.push(stream(10_001 + 2 * count));
    assert.equal(follower.sent(), 100);
    fromClient.push(Buffer.concat([stream(20_001), stream(20_003)]));
    assert.equal(follower.sent(), 200);
  });
});
