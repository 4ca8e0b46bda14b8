import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { maskInto, unmask } from "./mask.ts";

const mask = Uint8Array.of(0x9a, 0x01, 0xfe, 0x37);
const plain = Buffer.from(Array.from({ length: 20_011 }, (_, index) => (index * 7) % 251));
const masked = Buffer.from(plain.map((byte, index) => byte ^ (mask[index % 4] ?? 0)));

/** A copy that begins `offset` bytes behind where memory is aligned. */
function copyAt(offset: number, bytes: Uint8Array): Buffer {
  const copy = Buffer.from(new ArrayBuffer(bytes.byteLength + offset), offset);
  copy.set(bytes);
  return copy;
}

describe("masks", () => {
  // From 4 KiB on by machine code where there is some; less by JavaScript.
  for (const size of [1, 3, 4, 7, 4095, 4096, 8191, plain.byteLength]) {
    it(`of a payload that comes in pieces of ${size}`, () => {
      for (let offset = 0; offset < 9; offset++) {
        const bytes = copyAt(offset, masked);
        for (let at = 0; at < bytes.byteLength; at += size) unmask(bytes.subarray(at, at + size), mask, at);
        assert.ok(bytes.equals(plain), `memory at ${offset}`);
      }
    });
    it(`of ${size} bytes of a payload, copied into its frame; nothing beside them is written`, () => {
      for (const position of [0, 1, 2, 3]) {
        for (let offset = 0; offset < 9; offset++) {
          const payload = copyAt(offset, plain.subarray(position, position + size));
          const { byteLength } = payload;
          const frame = Buffer.alloc(byteLength + 20, 0xee);
          maskInto({ frame, offset: 10 }, payload, { mask, position });
          const around = Buffer.alloc(10, 0xee);
          const want = Buffer.concat([around, masked.subarray(position, position + byteLength), around]);
          assert.ok(frame.equals(want), `position ${position}, payload at ${offset}`);
          assert.ok(payload.equals(plain.subarray(position, position + size)));
        }
      }
    });
  }
});
