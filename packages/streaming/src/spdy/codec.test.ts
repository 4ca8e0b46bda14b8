import assert from "node:assert/strict";
import { test } from "node:test";
import { constants, createDeflate, inflateSync } from "node:zlib";
import fc from "fast-check";
import { FrameDecoder } from "./decode.ts";
import { dictionary, dictionaryId } from "./dictionary.ts";
import {
  encodeDataHeader,
  encodeGoAway,
  encodeHeaders,
  encodePing,
  encodeRstStream,
  encodeSynReply,
  encodeSynStream,
  type Frame,
} from "./frame.ts";
import { HeaderDecoder, HeaderEncoder } from "./headers.ts";

const hex = (text: string) => Buffer.from(text.replaceAll(/\s|#.*$/gm, ""), "hex");
const decode = (bytes: Buffer, decoder = new FrameDecoder()) => [...decoder.push(bytes)];

/** Joins the pieces of each data frame, so that frames can be compared however they were split. */
function joined(frames: Frame[]): unknown[] {
  const out: unknown[] = [];
  let open: { type: "data"; streamId: number; bytes: Buffer; fin: boolean } | undefined;
  for (const frame of frames) {
    if (frame.type !== "data") {
      out.push(frame);
      open = undefined;
    } else if (open && open.streamId === frame.streamId && !open.fin) {
      open.bytes = Buffer.concat([open.bytes, frame.bytes]);
      open.fin = frame.fin;
    } else {
      open = { type: "data", streamId: frame.streamId, bytes: Buffer.from(frame.bytes), fin: frame.fin };
      out.push(open);
    }
  }
  return out;
}

test("the dictionary is the one of the draft", () => {
  let [a, b] = [1, 0];
  for (const byte of dictionary) {
    a = (a + byte) % 65521;
    b = (b + a) % 65521;
  }
  assert.equal(dictionary.byteLength, 1423);
  assert.equal(b * 65536 + a, dictionaryId);
});

const cases: { name: string; hex: string; want: unknown[] }[] = [
  {
    name: "SYN_STREAM, id 1, one header, stored",
    hex: `8003 0001 00 000036   00000001 00000000 0000
      78bb e3c6a7c2  00 1c00 e3ff
      00000001 0000000a 73747265616d74797065 00000006 7374646f7574
      00 0000 ffff`,
    want: [
      {
        type: "synStream",
        streamId: 1,
        associatedId: 0,
        priority: 0,
        fin: false,
        headers: new Map([["streamtype", "stdout"]]),
      },
    ],
  },
  {
    name: "SYN_REPLY, id 3, no headers",
    hex: "8003 0002 00 000018  00000003  78bb e3c6a7c2 00 0400 fbff 00000000 00 0000 ffff",
    want: [{ type: "synReply", streamId: 3, fin: false, headers: new Map() }],
  },
  {
    name: "data 'hi' on 5",
    hex: "00000005 00 000002 6869",
    want: [{ type: "data", streamId: 5, bytes: Buffer.from("hi"), fin: false }],
  },
  {
    name: "empty data with FIN",
    hex: "00000005 01 000000",
    want: [{ type: "data", streamId: 5, bytes: Buffer.alloc(0), fin: true }],
  },
  {
    name: "RST_STREAM CANCEL",
    hex: "8003 0003 00 000008 00000007 00000005",
    want: [{ type: "rstStream", streamId: 7, status: 5 }],
  },
  { name: "PING", hex: "8003 0006 00 000004 00000001", want: [{ type: "ping", id: 1 }] },
  { name: "PING with a high id", hex: "8003 0006 00 000004 ffffffff", want: [{ type: "ping", id: 0xffffffff }] },
  {
    name: "GOAWAY",
    hex: "8003 0007 00 000008 00000009 00000000",
    want: [{ type: "goAway", lastStreamId: 9, status: 0 }],
  },
  {
    name: "SETTINGS and WINDOW_UPDATE are passed over, what follows is read",
    hex: "8003 0004 00 000004 00000000  8003 0009 00 000008 00000001 00010000  8003 0006 00 000004 00000002",
    want: [
      { type: "ignored", frameType: 4 },
      { type: "ignored", frameType: 9 },
      { type: "ping", id: 2 },
    ],
  },
];

for (const { name, hex: text, want } of cases) {
  test(`FrameDecoder: ${name}`, () => assert.deepEqual(joined(decode(hex(text))), want));
  test(`FrameDecoder: ${name}, split at every byte`, () => {
    const bytes = hex(text);
    for (let at = 1; at < bytes.byteLength; at++) {
      const decoder = new FrameDecoder();
      const frames = [...decode(bytes.subarray(0, at), decoder), ...decode(bytes.subarray(at), decoder)];
      assert.deepEqual(joined(frames), want, `split at ${at}`);
    }
    const single = new FrameDecoder();
    assert.deepEqual(joined([...bytes].flatMap((byte) => decode(Buffer.of(byte), single))), want);
  });
}

const bad: { name: string; hex: string; message: RegExp }[] = [
  { name: "version 2", hex: "8002 0001 00 000000", message: /version 2/ },
  { name: "data on stream 0", hex: "00000000 00 000001", message: /stream 0/ },
  { name: "a control frame of 16 MiB", hex: "8003 0001 00 ffffff", message: /16777215 bytes/ },
  { name: "SYN_STREAM too short", hex: "8003 0001 00 000004 00000001", message: /has 4 bytes/ },
  { name: "GOAWAY too long", hex: "8003 0007 00 000009 000000000000000000", message: /has 9 bytes/ },
  { name: "PING 0", hex: "8003 0006 00 000004 00000000", message: /id 0/ },
  { name: "RST status 0", hex: "8003 0003 00 000008 00000001 00000000", message: /status 0/ },
  { name: "a header block that is no zlib", hex: "8003 0002 00 000008 00000001 deadbeef", message: /inflate/ },
  {
    name: "a header block with another dictionary",
    hex: "8003 0002 00 00000a 00000001 78bb 00000001",
    message: /inflate/,
  },
];
for (const { name, hex: text, message } of bad) {
  test(`FrameDecoder refuses ${name}`, () => {
    assert.throws(() => decode(hex(text)), { name: "ProtocolError", code: 1, message });
  });
}

const block = (headers: [string, string][]) => {
  const parts = [headers.length, ...headers.flat()].map((part) => {
    const bytes = Buffer.from(String(part));
    const length = Buffer.alloc(4);
    length.writeUInt32BE(typeof part === "number" ? part : bytes.byteLength);
    return typeof part === "number" ? length : Buffer.concat([length, bytes]);
  });
  return Buffer.concat(parts);
};

/** What a real zlib makes of blocks, one stream, flushed after each. */
async function deflated(blocks: Buffer[]): Promise<Buffer[]> {
  const deflate = createDeflate({ dictionary, level: 9 });
  const out: Buffer[] = [];
  for (const bytes of blocks) {
    deflate.write(bytes);
    await new Promise<void>((resolve) => deflate.flush(constants.Z_SYNC_FLUSH, resolve));
    out.push(deflate.read() as Buffer);
  }
  deflate.destroy();
  return out;
}

test("HeaderDecoder reads zlib's own blocks, one after the other", async () => {
  const decoder = new HeaderDecoder();
  const first = [
    ["streamtype", "error"],
    ["port", "80"],
  ] as [string, string][];
  const second = [
    ["streamtype", "data"],
    ["port", "80"],
    ["requestid", "0"],
  ] as [string, string][];
  const blocks = await deflated([block(first), block(second), block([])]);
  assert.deepEqual(
    blocks.map((bytes) => [...decoder.decode(bytes)]),
    [first, second, []],
  );
});

test("HeaderDecoder stops a bomb at its limit", async () => {
  const [bomb] = await deflated([block([["a", "x".repeat(20_000_000)]])]);
  assert.ok(bomb && bomb.byteLength < 32 * 1024);
  const before = process.memoryUsage().arrayBuffers;
  assert.throws(() => new HeaderDecoder().decode(bomb), { name: "ProtocolError", message: /larger than 16384/ });
  assert.ok(process.memoryUsage().arrayBuffers - before < 4_000_000);
});

const badBlocks: { name: string; bytes: Buffer; message: RegExp }[] = [
  { name: "an upper-case name", bytes: block([["Port", "1"]]), message: /lower-case/ },
  {
    name: "a name twice",
    bytes: block([
      ["a", "1"],
      ["a", "2"],
    ]),
    message: /twice/,
  },
  { name: "a count of 2^32-1", bytes: hex("ffffffff"), message: /headers, at most 64/ },
  { name: "a length past the end", bytes: hex("00000001 7fffffff 61"), message: /cut short/ },
  {
    name: "bytes behind the last header",
    bytes: Buffer.concat([block([["a", "1"]]), Buffer.alloc(1)]),
    message: /longer/,
  },
];
for (const { name, bytes, message } of badBlocks) {
  test(`HeaderDecoder refuses ${name}`, async () => {
    const [compressed] = await deflated([bytes]);
    assert.ok(compressed);
    assert.throws(() => new HeaderDecoder().decode(compressed), { name: "ProtocolError", message });
  });
}

test("HeaderEncoder's stream is one that zlib reads", () => {
  const encoder = new HeaderEncoder();
  const blocks = [encoder.encode([["streamtype", "stdin"]]), encoder.encode([["streamtype", "resize"]])];
  const plain = inflateSync(Buffer.concat(blocks), { dictionary, finishFlush: constants.Z_SYNC_FLUSH });
  assert.deepEqual(plain, Buffer.concat([block([["streamtype", "stdin"]]), block([["streamtype", "resize"]])]));
});

const headerName = fc.stringMatching(/^[a-z-]{1,20}$/);
const headerList = fc.uniqueArray(fc.tuple(headerName, fc.string({ maxLength: 40 })), {
  selector: ([name]) => name,
  maxLength: 8,
});
const id = fc.integer({ min: 1, max: 0x7fff_ffff });
type Spec = { encode(headers: HeaderEncoder): Buffer; want: unknown };
const frame: fc.Arbitrary<Spec> = fc.oneof(
  fc.tuple(id, headerList, fc.boolean()).map(([streamId, list, fin]) => ({
    encode: (headers: HeaderEncoder) => encodeSynStream(streamId, headers.encode(list), fin),
    want: { type: "synStream", streamId, associatedId: 0, priority: 0, fin, headers: new Map(list) },
  })),
  fc.tuple(id, headerList).map(([streamId, list]) => ({
    encode: (headers: HeaderEncoder) => encodeSynReply(streamId, headers.encode(list)),
    want: { type: "synReply", streamId, fin: false, headers: new Map(list) },
  })),
  fc.tuple(id, headerList).map(([streamId, list]) => ({
    encode: (headers: HeaderEncoder) => encodeHeaders(streamId, headers.encode(list)),
    want: { type: "headers", streamId, fin: false, headers: new Map(list) },
  })),
  fc.tuple(id, fc.integer({ min: 1, max: 11 })).map(([streamId, status]) => ({
    encode: () => encodeRstStream(streamId, status),
    want: { type: "rstStream", streamId, status },
  })),
  id.map((ping) => ({ encode: () => encodePing(ping), want: { type: "ping", id: ping } })),
  id.map((lastStreamId) => ({
    encode: () => encodeGoAway(lastStreamId, 0),
    want: { type: "goAway", lastStreamId, status: 0 },
  })),
  fc.tuple(id, fc.uint8Array({ maxLength: 300 })).map(([streamId, bytes]) => ({
    encode: () => Buffer.concat([encodeDataHeader(streamId, bytes.byteLength, true), bytes]),
    want: { type: "data", streamId, bytes: Buffer.from(bytes), fin: true },
  })),
);

test("any frames, cut anywhere, are the same frames", () => {
  fc.assert(
    fc.property(
      fc.array(frame, { maxLength: 12 }),
      fc.array(fc.integer({ min: 1, max: 64 }), { minLength: 1, maxLength: 20 }),
      (specs, sizes) => {
        const encoder = new HeaderEncoder();
        const bytes = Buffer.concat(specs.map((spec) => spec.encode(encoder)));
        const decoder = new FrameDecoder();
        const frames: Frame[] = [];
        for (let at = 0, turn = 0; at < bytes.byteLength; turn++) {
          const size = sizes[turn % sizes.length] ?? 1;
          frames.push(...decoder.push(bytes.subarray(at, at + size)));
          at += size;
        }
        assert.deepEqual(
          joined(frames),
          specs.map(({ want }) => want),
        );
      },
    ),
    { numRuns: 300 },
  );
});

test("any bytes give frames or a ProtocolError, never anything else", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        decode(Buffer.from(bytes));
      } catch (error) {
        assert.equal((error as Error).name, "ProtocolError");
      }
    }),
    { numRuns: 2000 },
  );
});
