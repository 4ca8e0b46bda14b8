import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { appendFile, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { terminationMessage } from "../pods/termination-message.ts";
import { defaultSettings } from "../settings.ts";
import { parseLogLine } from "./line.ts";
import { readLog } from "./read.ts";
import { rotateIfLarge } from "./rotate.ts";
import { tailOffset } from "./tail.ts";

async function temp() {
  const folder = await mkdtemp(path.join(os.tmpdir(), "hawser-logs-"));
  return { folder, file: path.join(folder, "0.log"), [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
}
const line = (text: string, tag = "F") => `2026-01-02T03:04:05.000000001Z stdout ${tag} ${text}\n`;
const signal = new AbortController().signal;

async function text(options: Omit<Parameters<typeof readLog>[0], "signal">): Promise<string> {
  let all = "";
  for await (const batch of readLog({ ...options, signal })) for (const { content } of batch) all += content;
  return all;
}

for (const [raw, want] of [
  [line("hi"), "hi\n"],
  [line("part", "P"), "part"],
  [line("tagged", "P:x"), "tagged"],
  [line(""), "\n"],
  ["nonsense\n", undefined],
  ["2026 stdfoo F x\n", undefined],
] as const) {
  test(`parseLogLine ${JSON.stringify(raw)}`, () =>
    assert.equal(parseLogLine(Buffer.from(raw))?.content.toString(), want));
}

test("tailOffset, over the edges of its blocks", async () => {
  await using log = await temp();
  await writeFile(log.file, `${"a\n".repeat(50_000)}last`);
  assert.equal(await tailOffset(log.file, 1), 100_000);
  assert.equal(await tailOffset(log.file, 40_001), 20_000);
  assert.equal(await tailOffset(log.file, 99_999), 0);
  assert.equal(await tailOffset(log.file, 0), 100_004);
});

test("rotated files come first, packed ones too; a tail reaches back into them", async () => {
  await using log = await temp();
  const settings = { ...defaultSettings(), containerLogMaxSize: 1, containerLogMaxFiles: 4 };
  let reopened = 0;
  const reopen = async () => {
    reopened++;
    await writeFile(log.file, "");
    return {} as never;
  };
  let now = Date.UTC(2026, 0, 1);
  const context = { settings, runtime: { reopenContainerLog: reopen } as never, now: () => now };
  for (const n of [1, 2, 3]) {
    await appendFile(log.file, line(`${n}a`) + line(`${n}b`));
    assert.equal(await rotateIfLarge(context, { logFile: log.file, containerId: "c" }, signal), true);
    now += 1000;
  }
  assert.equal(reopened, 3);
  assert.equal(
    await rotateIfLarge(context, { logFile: log.file, containerId: "c" }, signal),
    false,
    "an empty log stays",
  );
  await appendFile(log.file, line("4"));
  const names = (await readdir(log.folder)).sort();
  assert.deepEqual(names, ["0.log", "0.log.20260101-000000.gz", "0.log.20260101-000001.gz", "0.log.20260101-000002"]);
  assert.equal(gunzipSync(await readFile(path.join(log.folder, names[1] ?? ""))).toString(), line("1a") + line("1b"));
  assert.equal(await text({ logFile: log.file }), "1a\n1b\n2a\n2b\n3a\n3b\n4\n");
  assert.equal(await text({ logFile: log.file, tailLines: 4 }), "2b\n3a\n3b\n4\n");
  now += 1000;
  await rotateIfLarge(context, { logFile: log.file, containerId: "c" }, signal);
  assert.equal(await text({ logFile: log.file }), "2a\n2b\n3a\n3b\n4\n", "the oldest is gone");
});

test("a failed reopen puts the log back under its name", async () => {
  await using log = await temp();
  await writeFile(log.file, line("x"));
  const settings = { ...defaultSettings(), containerLogMaxSize: 1 };
  const runtime = { reopenContainerLog: () => Promise.reject(new Error("not now")) } as never;
  await assert.rejects(
    rotateIfLarge({ settings, runtime, now: Date.now }, { logFile: log.file, containerId: "c" }, signal),
    /not now/,
  );
  assert.deepEqual(await readdir(log.folder), ["0.log"]);
});

test("a follower sees what comes, goes along with a rotation, and ends with the container", async () => {
  await using log = await temp();
  await writeFile(log.file, line("one"));
  let runs = true;
  const seen: string[] = [];
  const got = new Map(["one", "two", "three"].map((word) => [word, Promise.withResolvers<void>()]));
  const reading = (async () => {
    for await (const batch of readLog({ logFile: log.file, follow: () => runs, signal })) {
      for (const { content } of batch) {
        const word = content.toString().trim();
        seen.push(word);
        got.get(word)?.resolve();
      }
    }
  })();
  await got.get("one")?.promise;
  await appendFile(log.file, line("two"));
  await got.get("two")?.promise;
  await rename(log.file, `${log.file}.20260101-000000`);
  await writeFile(log.file, line("three"));
  await got.get("three")?.promise;
  await appendFile(log.file, line("four"));
  runs = false;
  await reading;
  assert.deepEqual(seen, ["one", "two", "three", "four"]);
});

test("since leaves older lines out; an aborted reader ends", async () => {
  await using log = await temp();
  await writeFile(log.file, `${line("old")}2026-06-01T00:00:00Z stderr F new\n`);
  assert.equal(await text({ logFile: log.file, since: Date.UTC(2026, 3) }), "new\n");
  const stop = new AbortController();
  const lines = readLog({ logFile: log.file, follow: () => true, signal: stop.signal });
  await lines.next();
  const next = lines.next();
  stop.abort();
  assert.equal((await next).done, true);
});

test("a pipe in a log's place, or in a termination message's, is waited for by nobody", async () => {
  await using place = await temp();
  execFileSync("mkfifo", [place.file]);
  await assert.rejects(text({ logFile: place.file }), /is not a file/);
  await assert.rejects(tailOffset(place.file, 1), /is not a file/);
  const mounts = [{ containerPath: "/dev/termination-log", hostPath: place.file }];
  const ended = { status: { exitCode: 1, mounts } } as unknown as Parameters<typeof terminationMessage>[0]; // all it reads
  const container = { name: "main", terminationMessagePolicy: "FallbackToLogsOnError" } as const;
  assert.equal(await terminationMessage(ended, { container, logFile: place.file }), "");
});
