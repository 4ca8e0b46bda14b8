import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { it } from "node:test";
import type { OutputStream } from "./io.ts";
import { progressBar, progressLine } from "./progress-bar.ts";

const MiB = 1024 * 1024;

it("shows bytes, percent, rate and the time left where the size is known", () => {
  const line = progressLine({ bytes: 25 * MiB, total: 100 * MiB, name: "dir/file" }, { rate: 5 * MiB, columns: 100 });
  assert.equal(line, "dir/file  [###         ]   25%  25.0 MiB of 100.0 MiB  5.0 MiB/s  0:15 left");
});

it("shows bytes and rate where it is not", () => {
  assert.equal(progressLine({ bytes: 512, name: "f" }, { rate: 0, columns: 80 }), "f  512 B  0 B/s");
});

it("is never wider than the terminal, and shows no control characters", () => {
  const name = `${"long/".repeat(40)}end\x1b[2J\n`;
  for (const columns of [10, 40, 80, 200]) {
    const line = progressLine({ bytes: MiB, total: 2 * MiB, name }, { rate: 1, columns });
    assert.ok(line.length < columns, `${line.length} of ${columns}`);
    assert.doesNotMatch(line, /[\x00-\x1f]/);
  }
});

it("has no negative rate when what a lost connection had is sent again", () => {
  const stream = Object.assign(new PassThrough(), { isTTY: true, columns: 80 });
  let time = 0;
  using bar = progressBar(stream, { now: () => time });
  for (const bytes of [50 * MiB, 10 * MiB]) {
    time += 2000;
    bar.show({ bytes, total: 100 * MiB, name: "f" });
  }
  assert.match(String(stream.read()), /25\.0 MiB\/s.*10\.0 MiB of 100\.0 MiB {2}0 B\/s/s);
});

it("draws at most ten times a second, clears its line, and is silent without a terminal", () => {
  const stream: OutputStream = Object.assign(new PassThrough(), { isTTY: true, columns: 80 });
  const written: string[] = [];
  stream.on("data", (chunk: Buffer) => written.push(chunk.toString()));
  let time = 0;
  {
    using bar = progressBar(stream, { now: () => time });
    for (; time < 1000; time += 10) bar.show({ bytes: time, total: 1000, name: "f" });
  }
  assert.equal(written.length, 10);
  assert.equal(written.at(-1), "\r\x1b[K");
  const silent = new PassThrough();
  using bar = progressBar(silent);
  bar.show({ bytes: 1, name: "f" });
  bar.clear();
  assert.equal(silent.readableLength, 0);
});
