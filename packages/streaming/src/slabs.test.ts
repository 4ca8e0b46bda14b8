import assert from "node:assert/strict";
import { it } from "node:test";
import { slabBytes, takeSlab, writeSlab } from "./slabs.ts";

it("what waits to be written keeps little more memory than it counts, and its content, whoever gathers in a slab next", () => {
  const kept: Uint8Array[] = [];
  const to = {
    backlog: 0,
    write(parts: readonly Uint8Array[]) {
      for (const part of parts) {
        kept.push(part);
        this.backlog += part.byteLength;
      }
    },
  };
  const [few, most] = [5 * 1024, slabBytes];
  for (let index = 0; index < 26; index++) writeSlab(to, takeSlab().fill(index), few);
  writeSlab(to, takeSlab().fill(99), most);
  takeSlab().fill(0xee);
  const memory = new Set(kept.map(({ buffer }) => buffer));
  const bytes = [...memory].reduce((sum, { byteLength }) => sum + byteLength, 0);
  assert.ok(bytes <= 4 * slabBytes, `${bytes} bytes for ${to.backlog}`);
  for (const [index, part] of kept.slice(0, 26).entries()) assert.ok(part.every((byte) => byte === index));
});
