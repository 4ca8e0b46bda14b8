// Readers of a log that is rotated under them: each line once, in order.
import assert from "node:assert/strict";
import { appendFile, type FileHandle, mkdtemp, open, readdir, rename, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { defaultSettings } from "../settings.ts";
import { shownTime } from "./line.ts";
import { readLog } from "./read.ts";
import { rotateIfLarge } from "./rotate.ts";

const signal = new AbortController().signal;
const line = (text: string | number) => `2026-01-02T03:04:05.000000001Z stdout F ${text}\n`;

async function temp() {
  const folder = await mkdtemp(path.join(os.tmpdir(), "hawser-rotation-"));
  return { folder, file: path.join(folder, "0.log"), [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
}

/** What a runtime does: writes numbered lines, and opens the file anew when told. Its clock stands still. */
async function writer(logFile: string, { files = 1000 } = {}) {
  let handle: FileHandle = await open(logFile, "a");
  let written = 0;
  const settings = { ...defaultSettings(), containerLogMaxSize: 1, containerLogMaxFiles: files };
  const reopenContainerLog = async () => {
    const old = handle;
    handle = await open(logFile, "a");
    await old.close();
    return {} as never;
  };
  const context = { settings, runtime: { reopenContainerLog } as never, now: () => Date.UTC(2026, 0, 1) };
  return {
    async write(count: number) {
      let text = "";
      for (let n = 0; n < count; n++) text += line(written++);
      await handle.write(text);
    },
    rotate: () => rotateIfLarge(context, { logFile, containerId: "c" }, signal),
    get written() {
      return written;
    },
    [Symbol.asyncDispose]: () => handle.close(),
  };
}

const upTo = (count: number) => Array.from({ length: count }, (_, index) => index);

async function numbers(options: Omit<Parameters<typeof readLog>[0], "signal">, pause?: () => Promise<void>) {
  const found: number[] = [];
  for await (const batch of readLog({ ...options, signal })) {
    for (const { content } of batch) found.push(Number(content));
    await pause?.();
  }
  return found;
}

test("a follower that is slower than the rotations gets every line once", async () => {
  await using log = await temp();
  await using runtime = await writer(log.file);
  let runs = true;
  await runtime.write(3);
  // It reads on only after the log was rotated twice more.
  let batches = 0;
  const found = numbers({ logFile: log.file, follow: () => runs }, async () => {
    if (++batches > 8) return;
    for (const count of [500, 700]) {
      await runtime.write(count);
      await runtime.rotate();
    }
    await runtime.write(10);
    if (batches === 8) runs = false;
  });
  assert.deepEqual(await found, upTo(runtime.written));
  const names = await readdir(log.folder);
  assert.equal(new Set(names.map((name) => name.replace(/\.gz$/, ""))).size, 17, "no rotated file took another's name");
});

test("readers that come at any moment of many rotations see the lines from the first on, none twice", async () => {
  await using log = await temp();
  await using runtime = await writer(log.file);
  let done = false;
  const writing = (async () => {
    for (let round = 0; round < 40; round++) {
      await runtime.write(50);
      await runtime.rotate();
    }
    done = true;
  })();
  let readers = 0;
  while (!done) {
    const found = await numbers({ logFile: log.file });
    assert.deepEqual(found, upTo(found.length));
    const tail = await numbers({ logFile: log.file, tailLines: 75 });
    // It is at least what was asked for, and ends with what came while it was read.
    assert.ok(tail.length >= Math.min(75, found.length), `${tail.length} lines`);
    assert.deepEqual(
      tail,
      upTo(tail.length).map((n) => n + (tail[0] ?? 0)),
    );
    readers++;
  }
  await writing;
  assert.ok(readers > 0);
  assert.deepEqual(await numbers({ logFile: log.file }), upTo(2000));
});

test("a line that the runtime writes late into the old file is not lost, and comes before the new file's", async () => {
  await using log = await temp();
  await writeFile(log.file, line(0));
  let runs = true;
  const old = await open(log.file, "a");
  const seen = Promise.withResolvers<void>();
  const found = numbers({ logFile: log.file, follow: () => runs }, async () => seen.resolve());
  await seen.promise;
  await rename(log.file, `${log.file}.20260101-000000`);
  await writeFile(log.file, line(2));
  await old.write(line(1));
  await old.close();
  await appendFile(log.file, line(3));
  runs = false;
  assert.deepEqual(await found, [0, 1, 2, 3]);
});

test("a follower that comes between the renaming and the reopening goes on", async () => {
  await using log = await temp();
  let runs = true;
  await writeFile(`${log.file}.20260101-000000`, line(0));
  const rotated = `${log.file}.20260101-000001`;
  await writeFile(rotated, line(1));
  const seen = Promise.withResolvers<void>();
  let batches = 0;
  const found = numbers({ logFile: log.file, follow: () => runs }, async () => {
    if (++batches === 2) seen.resolve();
  });
  await seen.promise;
  await appendFile(rotated, line(2));
  await writeFile(log.file, line(3));
  runs = false;
  assert.deepEqual(await found, [0, 1, 2, 3]);
});

test("a reopening that fails puts the name back, and a follower reads on without a line twice", async () => {
  await using log = await temp();
  let runs = true;
  const rotated = `${log.file}.20260101-000000`;
  await writeFile(rotated, line(0));
  const seen = Promise.withResolvers<void>();
  const found = numbers({ logFile: log.file, follow: () => runs }, async () => seen.resolve());
  await seen.promise;
  await rename(rotated, log.file);
  await appendFile(log.file, line(1));
  runs = false;
  assert.deepEqual(await found, [0, 1]);
});

test("a file that is just being packed is read once; what a crash left of packing is not read", async () => {
  await using log = await temp();
  await writeFile(log.file, line(1));
  await writeFile(`${log.file}.20260101-000000`, line(0));
  await writeFile(`${log.file}.20260101-000000.gz`, gzipSync(line(0)));
  await writeFile(`${log.file}.20250101-000000.tmp`, "half");
  assert.deepEqual(await numbers({ logFile: log.file }), [0, 1]);
  assert.deepEqual(await numbers({ logFile: log.file, tailLines: 5 }), [0, 1]);
});

test("only as many files stay as may", async () => {
  await using log = await temp();
  await using runtime = await writer(log.file, { files: 3 });
  for (let round = 0; round < 6; round++) {
    await runtime.write(1);
    await runtime.rotate();
  }
  await runtime.write(1);
  assert.deepEqual(await numbers({ logFile: log.file }), [4, 5, 6]);
  assert.equal((await readdir(log.folder)).length, 3);
});

for (const [time, want] of [
  ["2026-01-02T03:04:05.123456789Z", "2026-01-02T03:04:05.123456789Z"],
  ["2026-01-02T03:04:05.123456789+00:00", "2026-01-02T03:04:05.123456789Z"],
  ["2026-01-02T03:04:05.1+02:00", "2026-01-02T03:04:05.100000000+02:00"],
  ["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000000000Z"],
] as const) {
  test(`shownTime ${time}`, () => assert.equal(shownTime(time), want));
}
