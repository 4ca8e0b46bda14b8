import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { truncateSync } from "node:fs";
import * as fs from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { exitStatus } from "@hawser/api";
import type { ServerSession } from "@hawser/streaming";
import { type CopyProgress, copyTo } from "./cp.ts";
import { digest, openPlace, type Place, target } from "./testing/cp-place.ts";
import type { FakeContainerOptions } from "./testing/fake-container.ts";

/** A container whose shell knows no mv. */
async function withoutMove([program]: string[], session: ServerSession): Promise<boolean> {
  if (program !== "sh") return false;
  await session.finish(exitStatus(127));
  return true;
}

describe("copyTo of a file that breaks off", () => {
  /** A file of 4 MB to send, and an old one in its place. */
  async function both(options: Partial<FakeContainerOptions> = {}) {
    const place = await openPlace(options);
    const from = join(place.here, "new");
    await fs.writeFile(from, randomBytes(4_000_000));
    await fs.writeFile(join(place.there, "file"), "old");
    return { place, copy: { ...target, from, path: "file" } };
  }
  /** The old file, and nothing else. */
  async function untouched({ container, there }: Place) {
    await container.idle();
    assert.deepEqual(await fs.readdir(there), ["file"]);
    assert.equal(await fs.readFile(join(there, "file"), "utf8"), "old");
  }

  it("leaves what was in its place: the connection is cut, with and without retries", async () => {
    for (const retries of [0, 1]) {
      const isCut = ([name, , script = ""]: string[]) => name === "sh" && /^(trap|cat)/.test(script);
      const { place, copy } = await both({ cutAfter: [3_000_000, 500_000], isCut });
      await using _ = place;
      await assert.rejects(copyTo(place.client, { ...copy, retries }), { name: "StreamError" });
      await untouched(place);
    }
  });

  it("leaves what was in its place: aborted here", async () => {
    for (const retries of [0, -1]) {
      const { place, copy } = await both();
      await using _ = place;
      const stop = new AbortController();
      const onProgress = ({ bytes }: CopyProgress) => bytes > 1_000_000 && stop.abort(new Error("enough"));
      await assert.rejects(copyTo(place.client, { ...copy, retries, signal: stop.signal, onProgress }), {
        message: "enough",
      });
      await untouched(place);
    }
  });

  it("leaves what was in its place: the file shrinks, or the stream is short", async () => {
    const { place, copy } = await both();
    await using _ = place;
    const onProgress = ({ bytes }: CopyProgress) => bytes < 3_000_000 && truncateSync(copy.from, 1_000_000);
    await assert.rejects(copyTo(place.client, { ...copy, onProgress }), {
      code: "changed",
      message: `changed while they were copied: ${copy.from}`,
    });
    await untouched(place);
    const from = { content: Buffer.alloc(1000), size: 2000, name: "n" };
    await assert.rejects(copyTo(place.client, { ...copy, from }), { code: "kind" });
    await untouched(place);
  });

  it("goes by tar alone where there is no shell, or no mv", async () => {
    for (const lacking of [{ without: ["sh"] }, { without: [], answer: withoutMove }]) {
      const { place, copy } = await both(lacking);
      await using _ = place;
      await copyTo(place.client, copy);
      assert.equal(await digest(join(place.there, "file")), await digest(copy.from));
      await copyTo(place.client, { ...copy, from: { content: Buffer.from("now"), size: 3, name: "n" } });
      assert.equal(await fs.readFile(join(place.there, "file"), "utf8"), "now");
    }
  });
});
