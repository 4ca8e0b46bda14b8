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

describe("copyTo of a tree that breaks off", () => {
  const names = ["a", "b", "c"];
  async function tree(options: Partial<FakeContainerOptions> = {}) {
    const place = await openPlace(options);
    const from = join(place.here, "tree");
    await fs.mkdir(join(from, "below"), { recursive: true });
    for (const name of names) await fs.writeFile(join(from, "below", name), randomBytes(2_000_000));
    return { place, copy: { ...target, from, path: "tree" } };
  }
  async function isWhole({ there, here }: Place) {
    for (const name of names) {
      const [got, want] = [there, here].map((folder) => digest(join(folder, "tree/below", name)));
      assert.equal(await got, await want);
    }
    assert.deepEqual(await fs.readdir(there), ["tree"]);
  }
  const isCut = ([name, , script = ""]: string[]) => name === "sh" && script.startsWith("trap");

  it("leaves nothing where nothing was, without retries and with too few; and is whole with enough", async () => {
    for (const retries of [0, 1]) {
      const { place, copy } = await tree({ cutAfter: [3_000_000, 500_000], isCut });
      await using _ = place;
      await assert.rejects(copyTo(place.client, { ...copy, retries }), { name: "StreamError" });
      await place.container.idle();
      assert.deepEqual(await fs.readdir(place.there), []);
    }
    const { place, copy } = await tree({ cutAfter: [3_000_000], isCut });
    await using _ = place;
    await copyTo(place.client, { ...copy, retries: 2 });
    await isWhole(place);
  });

  it("is added to one that is there, and goes by tar alone where there is no shell", async () => {
    for (const lacking of [{}, { without: ["sh"] }]) {
      const { place, copy } = await tree(lacking);
      await using _ = place;
      await fs.mkdir(join(place.there, "tree"));
      await fs.writeFile(join(place.there, "tree/old"), "old");
      await copyTo(place.client, { ...copy, path: "." });
      await isWhole(place);
      assert.equal(await fs.readFile(join(place.there, "tree/old"), "utf8"), "old");
    }
  });
});

it("copyTo does not move into a directory that comes to stand in the place meanwhile, by an mv with -T or one without", async () => {
  for (const knowsT of [true, false]) {
    await using place = await openPlace();
    const [from, tools] = [join(place.here, "file"), join(place.here, "tools")];
    await fs.writeFile(from, "new");
    await fs.mkdir(tools);
    // The mv of this container has no -T, and the directory comes between the look and the move.
    const refuses = `case $1 in *T*) exit 1;; esac; mkdir "${place.there}/file"; exec /bin/mv "$@"`;
    const comes = `mkdir -p "${place.there}/file"; exec /bin/mv "$@"`;
    await fs.writeFile(join(tools, "mv"), `#!/bin/sh\n${knowsT ? comes : refuses}\n`, { mode: 0o755 });
    const before = process.env.PATH;
    process.env.PATH = `${tools}:${before}`;
    try {
      await assert.rejects(copyTo(place.client, { ...target, from, path: "file" }), { code: "exit" });
    } finally {
      process.env.PATH = before;
    }
    assert.deepEqual(await fs.readdir(place.there), ["file"]);
    assert.deepEqual(await fs.readdir(join(place.there, "file")), []);
  }
});
