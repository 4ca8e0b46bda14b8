import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import * as ws from "ws";
import { encodeFrameHeader, encodeMaskedFrame, Opcode } from "./frame.ts";
import { LargeFrames } from "./large-frames.ts";

/** ws's own reader; its types leave it out. */
const { Receiver } = ws as unknown as {
  Receiver: new (
    options: object,
  ) => {
    write(bytes: Buffer): unknown;
    on(event: string, listener: (data: Buffer & number & Error) => void): unknown;
  };
};

/** What comes out: messages of ws, and pieces of large ones joined. */
function reading({ masked, pieces = true }: { masked: boolean; pieces?: boolean }) {
  const out: string[] = [];
  let large: Buffer[] = [];
  let channel = 0;
  let failure: Error | undefined;
  const receiver = new Receiver({
    isServer: masked,
    maxPayload: 1024 * 1024,
    skipUTF8Validation: true,
    allowSynchronousEvents: true,
  });
  receiver.on("message", (data) => out.push(data.toString("base64")));
  receiver.on("ping", (data) => out.push(`ping ${data}`));
  receiver.on("conclude", (code) => out.push(`close ${code}`));
  receiver.on("error", (error) => {
    failure = error;
    frames.stop();
  });
  const take = (of: number, bytes: Buffer) => {
    channel = of;
    large.push(Buffer.from(bytes));
    return true;
  };
  const frames = new LargeFrames({
    masked,
    maxPayload: 1024 * 1024,
    piece: () => (pieces ? take : undefined),
    forward: (bytes) => void receiver.write(bytes),
    ended() {
      out.push(Buffer.concat([Uint8Array.of(channel), ...large]).toString("base64"));
      large = [];
    },
  });
  return {
    frames,
    out,
    get failure() {
      return failure;
    },
  };
}

function frame(masked: boolean, payload: Uint8Array, opcode: Opcode = Opcode.binary): Buffer {
  return masked
    ? encodeMaskedFrame(opcode, payload)
    : Buffer.concat([encodeFrameHeader(opcode, payload.byteLength), payload]);
}

function noise(length: number): Buffer {
  return Buffer.from(Uint8Array.from({ length }, (_, index) => (index * 31 + length) % 251));
}

describe("LargeFrames", () => {
  it("messages of any size, cut anywhere, at any place in memory, come in order and whole", () => {
    const lengths = fc.array(
      fc.oneof(fc.nat(300), fc.integer({ min: 4000, max: 4200 }), fc.integer({ min: 65_500, max: 66_000 })),
      { minLength: 1, maxLength: 5 },
    );
    const cuts = fc.array(fc.integer({ min: 1, max: 9000 }), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(fc.boolean(), lengths, cuts, fc.nat(7), (masked, sizes, pieces, shift) => {
        const messages = sizes.map((size) => noise(size + 1));
        const stream = Buffer.concat(messages.map((message) => frame(masked, message)));
        const { frames, out } = reading({ masked });
        let cut = 0;
        for (let offset = 0; offset < stream.byteLength; ) {
          const size = pieces[cut++ % pieces.length] ?? 1;
          // A chunk in memory that may be read into again.
          const memory = Buffer.alloc(shift + size);
          const chunk = memory.subarray(shift, shift + stream.copy(memory, shift, offset, offset + size));
          if (frames.push(chunk)) memory.fill(0xee);
          offset += size;
        }
        assert.deepEqual(
          out,
          messages.map((message) => message.toString("base64")),
        );
      }),
      { numRuns: 60 },
    );
  });

  it("takes only what is one binary frame: texts and messages in several frames are ws's, with pings between", () => {
    const { frames, out } = reading({ masked: false });
    const [half, text] = [noise(5000), noise(6000)];
    const first = frame(false, half);
    first[0] = 0x02; // more to come
    const last = frame(false, half);
    last[0] = 0x80; // the rest
    const ping = Buffer.from([0x89, 1, 0x78]);
    for (const bytes of [first, ping, last, frame(false, text, Opcode.text), frame(false, half)]) frames.push(bytes);
    const want = [Buffer.concat([half, half]), text, half].map((bytes) => bytes.toString("base64"));
    assert.deepEqual(out, ["ping x", ...want]);
  });

  it("without a taker of pieces all is ws's", () => {
    const { frames, out } = reading({ masked: true, pieces: false });
    const message = noise(9000);
    frames.push(frame(true, message));
    assert.deepEqual(out, [message.toString("base64")]);
  });

  const large = frame(false, noise(5000));
  const wrong: { name: string; bytes: Buffer; message: RegExp }[] = [
    { name: "a mask where none may be", bytes: frame(true, noise(5000)), message: /MASK must be clear/ },
    { name: "a reserved bit", bytes: Buffer.from([0xc2, 126, 0x20, 0]), message: /RSV1 must be clear/ },
    { name: "an unknown opcode", bytes: Buffer.from([0x83, 0]), message: /invalid opcode 3/ },
    {
      name: "a large message inside another",
      bytes: Buffer.concat([Buffer.from([0x02, 1, 0]), large]),
      message: /invalid opcode 2/,
    },
    {
      name: "a message too large",
      bytes: Buffer.from([0x82, 127, 0, 0, 0, 1, 0, 0, 0, 0]),
      message: /Max payload size/,
    },
  ];
  for (const { name, bytes, message } of wrong) {
    it(`leaves the judgement to ws: ${name}`, async () => {
      const read = reading({ masked: false });
      read.frames.push(Buffer.concat([large, bytes]));
      await new Promise((resolve) => setImmediate(resolve));
      assert.match(read.failure?.message ?? "", message);
      read.frames.push(large);
      assert.equal(read.out.length, 1, "what came before it");
    });
  }

  it("drops what follows a close", () => {
    const { frames, out } = reading({ masked: false });
    frames.push(Buffer.concat([Buffer.from([0x88, 2, 0x03, 0xe8]), large, frame(false, Buffer.from("late"))]));
    assert.deepEqual(out, ["close 1000"]);
  });
});

describe("what is forwarded of an unfinished message", () => {
  it("keeps at most twice its bytes in memory", () => {
    const kept = new Map<ArrayBufferLike, number>();
    const frames = new LargeFrames({
      masked: false,
      maxPayload: 1024 * 1024,
      piece: () => undefined,
      forward: (bytes) => void kept.set(bytes.buffer, bytes.byteLength),
      ended() {},
    });
    const frame = Buffer.concat([encodeFrameHeader(Opcode.binary, 100_000), Buffer.alloc(50_000)]);
    for (let offset = 0; offset < frame.byteLength; offset += 5000) {
      // As it is read: the beginning of a buffer that is larger.
      const buffer = Buffer.allocUnsafeSlow(64 * 1024);
      const bytes = frame.copy(buffer, 0, offset, offset + 5000);
      assert.equal(frames.push(buffer.subarray(0, bytes)), true);
    }
    const pooled = Buffer.poolSize; // what is tiny may lie in Node's pool
    const memory = [...kept.keys()].reduce((sum, { byteLength }) => sum + byteLength, 0);
    assert.ok(memory <= 2 * 50_000 + pooled, `${memory} bytes`);
  });
});
