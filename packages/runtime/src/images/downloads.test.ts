import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { Downloads } from "./downloads.ts";

describe("Downloads", () => {
  let directory: string;
  let downloads: Downloads;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "hawser-downloads-"));
    downloads = new Downloads(directory);
  });
  afterEach(() => rm(directory, { recursive: true }));

  const never = new AbortController().signal;

  it("fetch a blob once for all who want it at the same time, and keep it while one needs it", async () => {
    let fetched = 0;
    const gate = Promise.withResolvers<void>();
    const fetch = async (path: string) => {
      fetched++;
      await gate.promise;
      await writeFile(path, "blob");
    };
    const wanted = [1, 2, 3].map(() => downloads.get("sha256:a", fetch, never));
    gate.resolve();
    const blobs = await Promise.all(wanted);
    assert.equal(fetched, 1);
    for (const blob of blobs) {
      assert.equal(await readFile(blob.path, "utf8"), "blob");
      await blob[Symbol.asyncDispose]();
    }
    assert.deepEqual(await readdir(directory), []);
    await (await downloads.get("sha256:a", fetch, never))[Symbol.asyncDispose]();
    assert.equal(fetched, 2);
  });

  it("one who gives up ends the transfer only when nobody else waits", async () => {
    const [first, second] = [new AbortController(), new AbortController()];
    const ended = Promise.withResolvers<unknown>();
    const fetch = (path: string, signal: AbortSignal) =>
      new Promise<void>((_, reject) => {
        signal.addEventListener("abort", () => {
          ended.resolve(signal.reason);
          writeFile(path, "half").then(() => reject(signal.reason));
        });
      });
    const wanted = [first, second].map(({ signal }) => downloads.get("sha256:a", fetch, signal));
    first.abort(new Error("first"));
    await assert.rejects(wanted[0] ?? Promise.resolve(), { message: "first" });
    second.abort(new Error("second"));
    await assert.rejects(wanted[1] ?? Promise.resolve(), { message: "second" });
    await ended.promise;
    assert.deepEqual(await readdir(directory), []);
  });

  it("who has waited for another's transfer that fails tries for himself", async () => {
    const gate = Promise.withResolvers<void>();
    const failing = downloads.get("sha256:a", () => gate.promise, never);
    const other = downloads.get("sha256:a", (path) => writeFile(path, "own"), never);
    gate.reject(new Error("no access"));
    await assert.rejects(failing, { message: "no access" });
    await using blob = await other;
    assert.equal(await readFile(blob.path, "utf8"), "own");
  });
});
