import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { describe, it } from "node:test";
import { socketTransport } from "../../transport.ts";
import { encodeFrameHeader, encodeMaskedFrame, Opcode } from "../../websocket/frame.ts";
import { HopPings } from "../../websocket/hop-pings.ts";
import { WebSocketFlow, type WebSocketWatcher } from "./websocket-flow.ts";

function flowTo(watcher: Partial<WebSocketWatcher> = {}) {
  const stream = new PassThrough({ highWaterMark: 64 * 1024 * 1024 });
  const told = { firsts: [] as number[], bytes: 0, controls: [] as string[] };
  const flow = new WebSocketFlow(
    { to: socketTransport(stream, Buffer.alloc(0)), written: () => {} },
    {
      control(opcode, payload) {
        told.controls.push(`${opcode} ${payload}`);
        return { passes: true, idle: false };
      },
      message: (first) => told.firsts.push(first),
      data(bytes) {
        told.bytes += bytes;
      },
      ...watcher,
    },
  );
  return { flow, told, got: () => (stream.read() as Buffer | null) ?? Buffer.alloc(0) };
}

const message = (bytes: number, first: number) =>
  Buffer.concat([encodeFrameHeader(Opcode.binary, bytes, first), Buffer.alloc(bytes, 0x81)]);
const pong = (text: string) => Buffer.concat([Buffer.of(0x8a, text.length), Buffer.from(text)]);

describe("a WebSocket on its way through a hop", () => {
  const sent = [message(0, 3), pong("a"), message(130, 1), pong(""), message(70_000, 2), pong("b"), Buffer.of(0x88, 0)];
  for (const size of [1, 3, 16 * 1024, 1_000_000]) {
    it(`passes as it comes, in pieces of ${size}`, () => {
      const { flow, told, got } = flowTo();
      const all = Buffer.concat(sent);
      for (let at = 0; at < all.byteLength; at += size) flow.push(Buffer.from(all.subarray(at, at + size)));
      flow.flush();
      assert.ok(got().equals(all));
      assert.deepEqual(told, { firsts: [3, 1, 2], bytes: 70_133, controls: ["10 a", "10 ", "10 b", "8 "] });
    });

    it(`loses what is taken out, and nothing else, in pieces of ${size}`, () => {
      const { flow, got } = flowTo({ control: (_, payload) => ({ passes: payload.toString() !== "b", idle: true }) });
      const all = Buffer.concat(sent);
      for (let at = 0; at < all.byteLength; at += size) flow.push(Buffer.from(all.subarray(at, at + size)));
      flow.flush();
      assert.ok(got().equals(Buffer.concat(sent.filter((_, index) => index !== 5))));
    });
  }

  it("takes frames of its own between two, and not within one; a message not within a fragmented one", () => {
    const { flow, got } = flowTo();
    const [first, last] = [message(40, 1), message(40, 0x81)];
    first[0] = 0x02; // not the last of its message
    last[0] = 0x80;
    flow.push(first.subarray(0, 20));
    assert.equal(flow.insert([pong("x")]), false);
    flow.push(first.subarray(20));
    assert.equal(flow.insert([pong("x")]), true);
    assert.equal(flow.betweenMessages, false);
    flow.push(last.subarray(0, 1)); // held
    assert.equal(flow.insert([pong("y")]), true);
    flow.push(last.subarray(1));
    assert.equal(flow.betweenMessages, true);
    assert.ok(got().equals(Buffer.concat([first, pong("x"), pong("y"), last])));
  });

  it("reads what is masked, and makes pings that are", () => {
    const { flow, told, got } = flowTo();
    const pings = new HopPings();
    const ping = Buffer.from(pings.make());
    const all = Buffer.concat([encodeMaskedFrame(Opcode.binary, Buffer.from("typed"), 0), ping]);
    flow.push(all);
    assert.ok(got().equals(all));
    assert.match(told.controls.join(), /^9 hawser-hop [0-9a-f]{16}$/);
    assert.ok(pings.isOurs(Buffer.from(told.controls.join().slice(2))));
    assert.deepEqual(told.firsts, []);
  });
});
