import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { exitStatus } from "@hawser/api";
import fc from "fast-check";
import { Protocol } from "./protocols.ts";
import { encodeSize, SizeReader } from "./resize.ts";
import { encodeStatus, StatusReader } from "./status.ts";

async function sizes(...chunks: (string | Uint8Array)[]) {
  const reader = new SizeReader();
  for (const chunk of chunks) reader.push(Buffer.from(chunk));
  reader.end();
  const out: unknown[] = [];
  for await (const size of reader) out.push(size);
  return out;
}

describe("terminal sizes", () => {
  const cases: { name: string; text: string; want: unknown[] }[] = [
    { name: "as kubectl writes them", text: '{"Width":80,"Height":24}\n', want: [{ width: 80, height: 24 }] },
    { name: "as client-node writes them", text: '{"height":24,"width":80}', want: [{ width: 80, height: 24 }] },
    {
      name: "several in one chunk",
      text: '{"Width":1,"Height":2}{"Width":3,"Height":4}\n',
      want: [
        { width: 1, height: 2 },
        { width: 3, height: 4 },
      ],
    },
    {
      name: "zero, negative, fractions, too large",
      text: '{"Width":0,"Height":2}{"Width":-1,"Height":2}{"Width":1.5,"Height":2}{"Width":70000,"Height":2}',
      want: [],
    },
    {
      name: "sizes right behind words, a size that is cut, and one of words",
      text: 'oh{"Width":1,"Height":2}\n{"Width":80,{"Width":3,"Height":4}{"Width":"x","Height":{}}{"Width":5,"Height":6}',
      want: [
        { width: 1, height: 2 },
        { width: 3, height: 4 },
        { width: 5, height: 6 },
      ],
    },
    { name: "no size at all, then one", text: 'x}{"Width":5,"Height":6}', want: [{ width: 5, height: 6 }] },
  ];
  for (const { name, text, want } of cases) {
    it(name, async () => assert.deepEqual(await sizes(text), want));
    it(`${name}, byte by byte`, async () => assert.deepEqual(await sizes(...text), want));
  }

  it("keeps the last sixteen of a reader's backlog", async () => {
    const all = Array.from({ length: 40 }, (_, index) => ({ width: index + 1, height: 1 }));
    assert.deepEqual(await sizes(...all.map(encodeSize)), all.slice(-16));
  });

  it("keeps no more than a little of what never becomes a size", async () => {
    assert.deepEqual(await sizes("{".repeat(100_000), '}{"Width":5,"Height":6}'), [{ width: 5, height: 6 }]);
  });

  it("reads what it writes, cut anywhere", async () => {
    const side = fc.integer({ min: 1, max: 65535 });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ width: side, height: side }, { noNullPrototype: true }), { maxLength: 10 }),
        fc.integer({ min: 1, max: 9 }),
        async (list, cut) => {
          const bytes = Buffer.concat(list.map(encodeSize));
          const chunks: Uint8Array[] = [];
          for (let at = 0; at < bytes.byteLength; at += cut) chunks.push(bytes.subarray(at, at + cut));
          assert.deepEqual(await sizes(...chunks), list);
        },
      ),
    );
  });
});

function read(protocol: string, bytes: Uint8Array, failure?: unknown) {
  const reader = new StatusReader(protocol, () => {});
  for (const byte of bytes) reader.push(Buffer.of(byte));
  if (failure) reader.fail(failure);
  else reader.end();
  return reader.read();
}

describe("the error stream", () => {
  it("carries any exit code from v4 on", () => {
    for (const code of [0, 1, 137, 255]) {
      assert.deepEqual(read(Protocol.v4, encodeStatus(Protocol.v4, exitStatus(code))), exitStatus(code));
    }
  });

  it("carries a text, or nothing, before v4", () => {
    assert.equal(encodeStatus(Protocol.v2, exitStatus(0)).byteLength, 0);
    assert.equal(read(Protocol.v2, Buffer.alloc(0)).status, "Success");
    assert.equal(read(Protocol.v2, Buffer.from("bad")).message, "error executing remote command: bad");
  });

  it("is a failure when it ends without a word, from v4 on", () => {
    assert.throws(() => read(Protocol.v4, Buffer.alloc(0)), { name: "StreamError", kind: "no-status" });
    assert.throws(() => read(Protocol.v5, Buffer.from("{}")), { kind: "protocol" });
    assert.throws(() => read(Protocol.v5, Buffer.from("oh no")), { kind: "protocol", message: /oh no/ });
  });

  it("is what was said, though it was reset behind it", () => {
    assert.deepEqual(read(Protocol.v4, encodeStatus(Protocol.v4, exitStatus(0)), new Error("reset")), exitStatus(0));
    assert.throws(() => read(Protocol.v4, Buffer.alloc(0), new Error("reset")), /reset/);
    assert.throws(() => read(Protocol.v1, Buffer.alloc(0), new Error("reset")), /reset/);
    assert.match(read(Protocol.v2, Buffer.from("exit code 3"), new Error("reset")).message ?? "", /exit code 3$/);
  });

  it("has a bound", () => {
    const reader = new StatusReader(Protocol.v4, () => {});
    reader.push(Buffer.alloc(60_000, " "));
    assert.throws(() => reader.push(Buffer.alloc(6000, " ")), { name: "ProtocolError", code: 1009, message: /65536/ });
  });
});
