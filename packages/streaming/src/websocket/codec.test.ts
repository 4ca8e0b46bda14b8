import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import * as ws from "ws";
import { decodeMessage } from "./channels.ts";
import { encodeFrameHeader, encodeMaskedFrame, frameTaken, Opcode } from "./frame.ts";

const v5 = { base64: false, closeSignal: true };
const v4 = { base64: false, closeSignal: false };
const base64 = { base64: true, closeSignal: false };
const hex = (text: string) => Buffer.from(text.replaceAll(" ", ""), "hex");

const messages: { name: string; message: Buffer; grammar: typeof v5; want: unknown }[] = [
  {
    name: "stdout 'hi'",
    message: hex("01 6869"),
    grammar: v5,
    want: { type: "data", channel: 1, bytes: Buffer.from("hi") },
  },
  {
    name: "an empty one opens the conversation",
    message: hex("01"),
    grammar: v5,
    want: { type: "data", channel: 1, bytes: Buffer.alloc(0) },
  },
  { name: "nothing at all", message: hex(""), grammar: v5, want: undefined },
  { name: "v5 close of stdin", message: hex("ff 00"), grammar: v5, want: { type: "close", channel: 0 } },
  {
    name: "255 is a channel before v5",
    message: hex("ff 00"),
    grammar: v4,
    want: { type: "data", channel: 255, bytes: Buffer.of(0) },
  },
  {
    name: "base64 stdin",
    message: Buffer.from("0aGk="),
    grammar: base64,
    want: { type: "data", channel: 0, bytes: Buffer.from("hi") },
  },
  {
    name: "base64 of nothing",
    message: Buffer.from("4"),
    grammar: base64,
    want: { type: "data", channel: 4, bytes: Buffer.alloc(0) },
  },
];
describe("decodeMessage", () => {
  for (const { name, message, grammar, want } of messages) {
    it(name, () => assert.deepEqual(decodeMessage(message, grammar), want));
  }
  it("refuses a close that names no channel", () => {
    for (const text of ["ff", "ff 05", "ff 00 00"]) {
      assert.throws(() => decodeMessage(hex(text), v5), { name: "ProtocolError", code: 1002 });
    }
  });
  it("refuses what is not base64", () => {
    assert.throws(() => decodeMessage(Buffer.from("0a*b"), base64), { name: "ProtocolError", code: 1007 });
  });
});

interface Reader {
  write(bytes: Buffer): unknown;
  on(event: "message", listener: (data: Buffer, binary: boolean) => void): unknown;
  on(event: "error", listener: (error: Error) => void): unknown;
}
/** ws's own reader; its types leave it out. */
const { Receiver } = ws as unknown as { Receiver: new (options: object) => Reader };

/** What ws, an independent reader, makes of the bytes, cut into pieces of `size`. */
function read(bytes: Buffer, isServer: boolean, size = bytes.byteLength): { data: Buffer; binary: boolean }[] {
  const receiver = new Receiver({
    isServer,
    allowSynchronousEvents: true,
    maxPayload: 1 << 26,
    skipUTF8Validation: true,
  });
  const out: { data: Buffer; binary: boolean }[] = [];
  receiver.on("message", (data, binary) => out.push({ data: Buffer.from(data), binary }));
  receiver.on("error", (error) => {
    throw error;
  });
  for (let at = 0; at < bytes.byteLength; at += size) receiver.write(bytes.subarray(at, at + size));
  return out;
}

const lengths = [0, 1, 2, 3, 4, 5, 123, 124, 125, 126, 127, 128, 32_768, 65_534, 65_535, 65_536, 70_001];
describe("frames", () => {
  for (const length of lengths) {
    const payload = Buffer.from(Array.from({ length }, (_, index) => index % 251));
    for (const prefix of [undefined, 3]) {
      const want = prefix === undefined ? payload : Buffer.concat([Buffer.of(prefix), payload]);
      it(`of ${length} bytes ${prefix === undefined ? "" : "and a channel "}are read whole, masked and not`, () => {
        const masked = encodeMaskedFrame(Opcode.binary, payload, prefix);
        assert.deepEqual(read(masked, true), [{ data: want, binary: true }]);
        const bare = Buffer.concat([encodeFrameHeader(Opcode.text, length, prefix), payload]);
        assert.deepEqual(
          read(bare, false).map(({ data }) => data),
          [want],
        );
        assert.equal(bare[0], 0x81, "one frame, final");
      });
    }
  }

  it("leave the payload they were given as it was, and are masked anew each time", () => {
    const payload = Buffer.alloc(64, 7);
    const frames = Array.from({ length: 8 }, () => encodeMaskedFrame(Opcode.binary, payload, 0).toString("hex"));
    assert.equal(new Set(frames).size, 8);
    assert.deepEqual(payload, Buffer.alloc(64, 7));
  });

  it("are made in the memory of one that was taken, and leave alone one that was not", () => {
    const [seven, eight] = [Buffer.alloc(32 * 1024, 7), Buffer.alloc(20 * 1024, 8)];
    const first = encodeMaskedFrame(Opcode.binary, seven, 0);
    const second = encodeMaskedFrame(Opcode.binary, seven, 0);
    assert.notEqual(first.buffer, second.buffer);
    frameTaken(first);
    const third = encodeMaskedFrame(Opcode.binary, eight, 0);
    assert.equal(third.buffer, first.buffer);
    assert.deepEqual(read(second, true)[0]?.data.subarray(1), seven);
    assert.deepEqual(read(third, true)[0]?.data.subarray(1), eight);
  });

  it("of any bytes, cut anywhere, are the same messages", () => {
    const message = fc.tuple(
      fc.uint8Array({ maxLength: 400 }),
      fc.option(fc.integer({ min: 0, max: 255 }), { nil: undefined }),
    );
    fc.assert(
      fc.property(fc.array(message, { maxLength: 8 }), fc.integer({ min: 1, max: 40 }), (list, size) => {
        const bytes = Buffer.concat(list.map(([payload, prefix]) => encodeMaskedFrame(Opcode.binary, payload, prefix)));
        const want = list.map(([payload, prefix]) =>
          Buffer.from(prefix === undefined ? payload : [prefix, ...payload]),
        );
        assert.deepEqual(
          read(bytes, true, size).map(({ data }) => data),
          want,
        );
      }),
    );
  });
});
