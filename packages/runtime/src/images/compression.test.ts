import assert from "node:assert/strict";
import { test } from "node:test";
import { constants, gzipSync, zstdCompressSync } from "node:zlib";
import { decompress } from "./compression.ts";

const text = Buffer.from(Array.from({ length: 40_000 }, (_, n) => `line ${n * 7919}\n`).join(""));
const skippable = Buffer.from("50 2a 4d 18 03 00 00 00 616263".replaceAll(" ", ""), "hex");
const checked = (bytes: Buffer) => zstdCompressSync(bytes, { params: { [constants.ZSTD_c_checksumFlag]: 1 } });

const cases: [name: string, input: Buffer, want: Buffer][] = [
  ["plain bytes", text, text],
  ["nothing", Buffer.alloc(0), Buffer.alloc(0)],
  ["three bytes", Buffer.from("abc"), Buffer.from("abc")],
  ["gzip", gzipSync(text), text],
  ["gzip in two members", Buffer.concat([gzipSync(text), gzipSync(text)]), Buffer.concat([text, text])],
  ["zstd", zstdCompressSync(text), text],
  ["zstd of nothing", zstdCompressSync(Buffer.alloc(0)), Buffer.alloc(0)],
  [
    "zstd in two frames, one with a checksum",
    Buffer.concat([checked(text), zstdCompressSync(text)]),
    Buffer.concat([text, text]),
  ],
  ["zstd with skippable frames around", Buffer.concat([skippable, zstdCompressSync(text), skippable]), text],
  ["a run of one byte in zstd", zstdCompressSync(Buffer.alloc(1 << 20, 7)), Buffer.alloc(1 << 20, 7)],
];
for (const [name, input, want] of cases) {
  for (const step of [input.length || 1, 4093, 1]) {
    if (step === 1 && input.length > 100_000) continue;
    test(`decompress: ${name}, ${step} bytes at a time`, async () => {
      assert.ok((await all(input, step)).equals(want));
    });
  }
}

for (const [name, input] of [
  ["gzip", gzipSync(text).subarray(0, -20)],
  ["zstd", zstdCompressSync(text).subarray(0, -20)],
  ["a second zstd frame", Buffer.concat([zstdCompressSync(text), zstdCompressSync(text).subarray(0, 100)])],
] as const) {
  test(`decompress: ${name} that is cut short is an error`, async () => {
    await assert.rejects(all(input, 4093), { message: /unexpected (end of file|EOF)/i });
  });
}

test("decompress: an error of the source comes out", async () => {
  const source = async function* () {
    yield gzipSync(text).subarray(0, 1000);
    throw new Error("the disk is gone");
  };
  await assert.rejects(Array.fromAsync(decompress(source())), { message: "the disk is gone" });
});

async function all(input: Buffer, step: number): Promise<Buffer> {
  const source = async function* () {
    for (let at = 0; at < input.length; at += step) yield input.subarray(at, at + step);
  };
  return Buffer.concat(await Array.fromAsync(decompress(source())));
}
