import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { wholeLines } from "./log-lines.ts";

async function* chunks(...parts: (string | Buffer | Error)[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) {
    if (part instanceof Error) throw part;
    yield Buffer.from(part);
  }
}

async function pieces(source: AsyncIterable<Uint8Array>, prefix?: string): Promise<string[]> {
  const found: string[] = [];
  for await (const piece of wholeLines(source, prefix)) found.push(Buffer.from(piece).toString("latin1"));
  return found;
}

describe("wholeLines", () => {
  it("waits for the ends of lines, and gives as many as there are at once", async () => {
    assert.deepEqual(await pieces(chunks("a", "b\nc\nd", "\n", "e")), ["ab\nc\n", "d\n", "e"]);
  });
  it("puts the prefix before each line once, empty ones too", async () => {
    assert.deepEqual(await pieces(chunks("a", "b\n\nc"), "> "), ["> ab\n> \n", "> c"]);
  });
  it("keeps bytes that are no text", async () => {
    const raw = Buffer.from([0xff, 0xfe, 0x00, 0x0a, 0xc3]);
    assert.deepEqual(await pieces(chunks(raw)), ["\xff\xfe\0\n", "\xc3"]);
  });
  it("hands on a line that is too long to hold, with one prefix", async () => {
    const half = "x".repeat(700_000);
    const found = await pieces(chunks(half, half, half, "\ny\n"), "> ");
    assert.equal(found.join(""), `> ${half}${half}${half}\n> y\n`);
    assert.ok(found.length > 1);
  });
  it("gives what came before it broke off", async () => {
    const seen: string[] = [];
    const reading = async () => {
      for await (const piece of wholeLines(chunks("a\nb", new Error("cut")))) seen.push(String(piece));
    };
    await assert.rejects(reading(), /cut/);
    assert.equal(seen.length, 2);
  });
});
