import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { describe, it } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import fc from "fast-check";
import { FrameDecoder } from "../../spdy/decode.ts";
import { encodeDataHeader, encodeGoAway, encodePing, encodeRstStream } from "../../spdy/frame.ts";
import { socketTransport } from "../../transport.ts";
import { SpdyFlow, type SpdyWatcher } from "./spdy-flow.ts";

const passing: SpdyWatcher = {
  control: () => ({ passes: true, idle: false }),
  data: () => {},
  whole: () => false,
};

function flowTo(watcher: Partial<SpdyWatcher> = {}) {
  const stream = new PassThrough({ highWaterMark: 64 * 1024 * 1024 });
  const flow = new SpdyFlow(
    { to: socketTransport(stream, Buffer.alloc(0)), written: () => {} },
    { ...passing, ...watcher },
  );
  return { flow, got: () => (stream.read() as Buffer | null) ?? Buffer.alloc(0) };
}

const dataFrame = (streamId: number, bytes: Uint8Array, fin: boolean) =>
  Buffer.concat([encodeDataHeader(streamId, bytes.byteLength, fin), bytes]);

/** What an end makes of bytes: of data only which, and its end. */
function read(bytes: Buffer) {
  const streams = new Map<number, { content: Buffer; ended: boolean }>();
  const others: unknown[] = [];
  for (const frame of new FrameDecoder().push(bytes)) {
    if (frame.type !== "data") {
      others.push(frame);
      continue;
    }
    const before = streams.get(frame.streamId);
    const content = Buffer.concat([before?.content ?? Buffer.alloc(0), frame.bytes]);
    streams.set(frame.streamId, { content, ended: before?.ended || frame.fin });
  }
  return { streams, others };
}

/** Whether bytes are frames and nothing else. */
function isWhole(bytes: Buffer): boolean {
  let at = 0;
  while (at + 8 <= bytes.byteLength) at += 8 + bytes.readUIntBE(at + 5, 3);
  return at === bytes.byteLength;
}

const frames = fc.array(
  fc.oneof(
    fc
      .tuple(fc.integer({ min: 1, max: 5 }), fc.uint8Array({ maxLength: 300 }), fc.boolean())
      .map((frame) => dataFrame(...frame)),
    fc
      .tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 0, max: 200_000 }))
      .map(([id, length]) => dataFrame(id, Buffer.alloc(length, id), false)),
    fc.integer({ min: 1, max: 99 }).map(encodePing),
    fc.constant(encodeRstStream(3, 5)),
    fc.constant(encodeGoAway(0, 0)),
  ),
  { maxLength: 12 },
);
const cuts = fc.array(fc.integer({ min: 1, max: 70_000 }), { minLength: 1, maxLength: 20 });

describe("SPDY on its way through a hop", () => {
  it("says the same in frames that are always whole, however it is cut, and a frame fits in at any time", async () => {
    await fc.assert(
      fc.asyncProperty(frames, cuts, async (sent, sizes) => {
        const { flow, got } = flowTo();
        const all = Buffer.concat(sent);
        const out: Buffer[] = [];
        const least = Math.ceil(all.byteLength / 100);
        for (let at = 0, turn = 0; at < all.byteLength; turn++) {
          const size = Math.max(least, sizes[turn % sizes.length] ?? 1);
          flow.push(Buffer.from(all.subarray(at, at + size)));
          at += size;
          if (turn % 3 === 0) await nextTurn();
          if (turn % 5 === 0) assert.ok(flow.insert([encodePing(1000)]));
          out.push(got());
          assert.ok(isWhole(out.at(-1) ?? all));
        }
        flow.flush();
        out.push(got());
        const { streams, others } = read(Buffer.concat(out));
        const wanted = read(all);
        assert.deepEqual([...streams.keys()], [...wanted.streams.keys()]);
        for (const [id, { content, ended }] of wanted.streams) {
          assert.equal(streams.get(id)?.ended, ended);
          assert.ok(streams.get(id)?.content.equals(content));
        }
        const isOurs = (frame: unknown) => (frame as { id?: number }).id === 1000;
        assert.deepEqual(
          others.filter((frame) => !isOurs(frame)),
          wanted.others,
        );
      }),
      { numRuns: 30 },
    );
  });

  it("is one write for the chunks of one turn, of one frame one head, and a key stroke is not held back", async () => {
    const { flow, got } = flowTo();
    const frame = dataFrame(5, Buffer.alloc(64 * 1024, "x"), true);
    for (let at = 0; at < frame.byteLength; at += 16 * 1024) flow.push(frame.subarray(at, at + 16 * 1024));
    assert.equal(got().byteLength, 0);
    await nextTurn();
    assert.ok(got().equals(frame));
    flow.push(dataFrame(5, Buffer.from("k"), false));
    assert.ok(got().equals(dataFrame(5, Buffer.from("k"), false)));
  });

  it("takes out what it is told to, and holds back the frames of a stream until they are whole", () => {
    const { flow, got } = flowTo({
      control: (frame) => ({ passes: frame.readUInt32BE(8) !== 7, idle: true }),
      whole: (streamId) => streamId === 1,
    });
    assert.equal(flow.push(Buffer.concat([encodePing(5), encodePing(7), encodePing(9)])), false);
    assert.ok(got().equals(Buffer.concat([encodePing(5), encodePing(9)])));
    const status = dataFrame(1, Buffer.from('{"status":"Success"}'), true);
    flow.push(status.subarray(0, 20));
    assert.equal(got().byteLength, 0);
    flow.push(status.subarray(20));
    assert.ok(got().equals(status));
  });

  it("passes a control frame of more than 32 KiB as it comes, and nothing fits in there", () => {
    const { flow, got } = flowTo();
    const head = Buffer.from([0x80, 3, 0, 1, 0, 0, 0x90, 0]);
    flow.push(head);
    assert.equal(flow.insert([encodePing(1)]), false);
    flow.push(Buffer.alloc(0x9000));
    assert.equal(flow.insert([encodePing(1)]), true);
    flow.flush();
    assert.ok(got().equals(Buffer.concat([head, Buffer.alloc(0x9000), encodePing(1)])));
  });
});
