import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { truncateSync } from "node:fs";
import * as fs from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { exitStatus } from "@hawser/api";
import type { ServerSession } from "@hawser/streaming";
import { type CopyProgress, type CopyToOptions, copyTo } from "./cp.ts";
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

  it("is in place where only the answer was lost, and a retry finds it so", async () => {
    for (const path of ["tree", "there/."]) {
      let lost = 0;
      const { place, copy } = await tree({ losesAnswer: (command) => isCut(command) && ++lost === 1 });
      await using _ = place;
      await fs.mkdir(join(place.there, "there"));
      const result = await copyTo(place.client, { ...copy, path, retries: 1 });
      assert.deepEqual(result, { files: 3, directories: 2, links: 0, skipped: 0, bytes: 6_000_000 });
      await fs.rename(join(place.there, path, path === "tree" ? "" : "tree"), join(place.there, "found"));
      assert.deepEqual((await fs.readdir(place.there)).sort(), ["found", "there"]);
      assert.deepEqual(await fs.readdir(join(place.there, "there")), []);
      for (const name of names) {
        const found = await digest(join(place.there, "found/below", name));
        assert.equal(found, await digest(join(copy.from, "below", name)));
      }
      assert.equal(lost, 1, "sent once");
    }
  });

  it("is in place where its tar was so slow that it was sent again meanwhile, and that came too late", async () => {
    const tries: { command: string[]; input: Buffer }[] = [];
    const { place, copy } = await tree({
      // The first begins when its client has gone, and has ended when the second begins.
      async answer(command, session) {
        if (!isCut(command)) return false;
        const [first] = tries;
        if (!first) {
          tries.push({ command, input: Buffer.concat(await Array.fromAsync(session.stdin ?? [])) });
          return true;
        }
        const [program = "", ...args] = first.command;
        const { status } = spawnSync(program, args, { input: first.input, cwd: place.there });
        assert.equal(status, 0);
        return false;
      },
    });
    await using _ = place;
    const result = await copyTo(place.client, { ...copy, retries: 1 });
    assert.deepEqual(result, { files: 3, directories: 2, links: 0, skipped: 0, bytes: 6_000_000 });
    await isWhole(place);
  });

  it("is whole, and a warning says what may be left, where that could not be removed, or nobody waits for it", async () => {
    for (const aborts of [false, true]) {
      const stop = new AbortController();
      const over = Promise.withResolvers<void>();
      const { place, copy } = await tree({
        async answer([program]) {
          if (program !== "rm") return false;
          if (aborts) {
            stop.abort();
            await over.promise;
          }
          return true; // without an answer
        },
      });
      await using _ = place;
      const warnings: string[] = [];
      const onWarning = (line: string) => warnings.push(line);
      try {
        const result = await copyTo(place.client, { ...copy, retries: 1, signal: stop.signal, onWarning });
        assert.equal(result.files, 3);
      } finally {
        over.resolve();
      }
      const left = (await fs.readdir(place.there)).filter((name) => name !== "tree");
      assert.match(left.join(), /^\.hawser-cp-[0-9a-f]{12}\.end$/);
      assert.match(warnings.join(), new RegExp(`^the copy is whole, but .*: .*/${left[0]}$`));
    }
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

describe("copyTo of a tree into one that is there", () => {
  /** Names that tar would show otherwise than they are. */
  const names = ["a b", "back\\slash", "ü", "-dash"];
  const size = 1_000_000;
  async function both(options: Partial<FakeContainerOptions> = {}) {
    const place = await openPlace(options);
    const [from, to] = [join(place.here, "tree"), join(place.there, "tree")];
    await fs.mkdir(from);
    await fs.mkdir(to);
    for (const name of names) {
      await fs.writeFile(join(from, name), randomBytes(size));
      await fs.writeFile(join(to, name), "old");
    }
    await fs.writeFile(join(to, "other"), "other");
    return {
      place,
      to,
      copies: [
        { from, path: "." },
        { from: `${from}/.`, path: "tree" },
      ].map((one) => ({ ...target, ...one })),
    };
  }
  /** Every file is the new one, the old one, or gone. Resolves with how many are gone. */
  async function gone(place: Place, to: string): Promise<number> {
    await place.container.idle();
    assert.deepEqual(await fs.readdir(place.there), ["tree"]);
    const there = await fs.readdir(to);
    assert.ok(there.includes("other"));
    for (const name of there.filter((name) => name !== "other")) {
      const found = await fs.readFile(join(to, name));
      const whole = await fs.readFile(join(place.here, "tree", name));
      assert.ok(found.equals(whole) || found.equals(Buffer.from("old")), `${name}: ${found.length} bytes`);
    }
    return names.length + 1 - there.length;
  }
  const isCut = ([name, , script = ""]: string[]) => name === "tar" || script.startsWith("trap");

  for (const which of [0, 1]) {
    for (const retries of [0, 1]) {
      it(`leaves no file cut short: the connection is cut, way ${which}, ${retries} retries`, async () => {
        const { place, to, copies } = await both({ cutAfter: [size * 1.5, size * 0.5], isCut });
        await using _ = place;
        const [copy = target] = copies.slice(which);
        await assert.rejects(copyTo(place.client, { ...copy, retries } as CopyToOptions), { name: "StreamError" });
        assert.equal(await gone(place, to), 1);
      });
    }
  }

  it("leaves no file cut short: aborted here", async () => {
    const { place, to, copies } = await both();
    await using _ = place;
    const stop = new AbortController();
    const onProgress = ({ bytes }: CopyProgress) => bytes > size * 2.5 && stop.abort(new Error("enough"));
    const [copy] = copies as [CopyToOptions];
    await assert.rejects(copyTo(place.client, { ...copy, signal: stop.signal, onProgress }), { message: "enough" });
    assert.equal(await gone(place, to), 1);
  });

  it("removes nothing where tar fails at something else, and what comes last is whole", async () => {
    for (const which of [0, 1]) {
      const { place, to, copies } = await both();
      await using _ = place;
      for (const name of names.slice(1)) await fs.rm(join(to, name));
      await fs.rm(join(to, "a b"));
      await fs.mkdir(join(to, "a b/in the way"), { recursive: true });
      const [copy] = copies.slice(which) as [CopyToOptions];
      await assert.rejects(copyTo(place.client, copy), { code: "exit", exitCode: 2 });
      for (const name of names.slice(1)) {
        assert.equal(await digest(join(to, name)), await digest(join(place.here, "tree", name)));
      }
      assert.deepEqual((await fs.readdir(to)).sort(), [...names, "other"].sort());
    }
  });

  it("goes by tar alone where a name is more than one line: its last would be another file's", async () => {
    const { place, to, copies } = await both({ cutAfter: [100_000], isCut });
    await using _ = place;
    for (const name of names) await fs.rm(join(place.here, "tree", name));
    await fs.writeFile(join(place.here, "tree/other\ntree"), randomBytes(size));
    const [copy] = copies as [CopyToOptions];
    await assert.rejects(copyTo(place.client, copy), { name: "StreamError" });
    await place.container.idle();
    assert.equal(place.container.commands.at(-1)?.[0], "tar");
    assert.equal(await fs.readFile(join(to, "other"), "utf8"), "other");
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
