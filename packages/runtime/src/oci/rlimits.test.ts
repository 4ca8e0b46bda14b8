import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { checkFilesLimit, checkRlimits, hardLimits, rlimitNumber, rlimitsFor } from "./rlimits.ts";

test("rlimitNumber: the kernel's numbers", () => {
  assert.deepEqual(["RLIMIT_CPU", "RLIMIT_NOFILE", "RLIMIT_RTTIME"].map(rlimitNumber), [0, 7, 15]);
  assert.throws(() => rlimitNumber("RLIMIT_X"), { message: "invalid rlimit `RLIMIT_X`" });
});

test("rlimitsFor: soft and hard, or one for both; none are set by default", () => {
  const host = { capabilities: new Set(["CAP_SYS_RESOURCE"]), rlimits: new Map([["RLIMIT_NOFILE", 2000]]) };
  assert.equal(rlimitsFor(host, {}), undefined);
  assert.deepEqual(rlimitsFor(host, checkRlimits({ nofile: "1024:4096", core: 0 })), [
    { type: "RLIMIT_NOFILE", soft: 1024, hard: 4096 },
    { type: "RLIMIT_CORE", soft: 0, hard: 0 },
  ]);
});

test("rlimitsFor: who may not raise limits gives no more than its own", () => {
  const host = { capabilities: new Set<string>(), rlimits: new Map([["RLIMIT_NOFILE", 2000]]) };
  assert.deepEqual(rlimitsFor(host, { nofile: "1024:4096", nproc: 5000 }), [
    { type: "RLIMIT_NOFILE", soft: 1024, hard: 2000 },
    { type: "RLIMIT_NPROC", soft: 5000, hard: 5000 },
  ]);
});

for (const given of [
  [],
  "x",
  { files: 1 },
  { nofile: "2:1" },
  { nofile: "1:2:3" },
  { core: "unlimited" },
  { core: -1 },
  { nofile: ["1024"] },
  { nofile: true },
]) {
  test(`checkRlimits: ${JSON.stringify(given)} is refused`, () =>
    assert.throws(() => checkRlimits(given), { message: /^setting "rlimits/ }));
}

test("hardLimits: by name, none for unlimited; the kernel's lines are in setrlimit's order", async () => {
  const names = [
    ...[
      "cpu time",
      "file size",
      "data size",
      "stack size",
      "core file size",
      "resident set",
      "processes",
      "open files",
    ],
    ...["locked memory", "address space", "file locks", "pending signals", "msgqueue size", "nice priority"],
    ...["realtime priority", "realtime timeout"],
  ].map((name) => `Max ${name}`);
  const own = (await readFile("/proc/self/limits", "utf8")).split("\n").slice(1, -1);
  assert.deepEqual(
    own.map((line) => line.slice(0, 25).trim()),
    names,
  );
  const line = (name: string, hard: string) => `${name.padEnd(25)} ${"1".padEnd(20)} ${hard.padEnd(20)} units     \n`;
  const text = names.map((name, number) => line(name, number % 2 ? String(number) : "unlimited")).join("");
  assert.deepEqual(
    [...hardLimits(`Limit\n${text}`)],
    [
      ...[
        ["RLIMIT_FSIZE", 1],
        ["RLIMIT_STACK", 3],
        ["RLIMIT_RSS", 5],
        ["RLIMIT_NOFILE", 7],
        ["RLIMIT_AS", 9],
      ],
      ...[
        ["RLIMIT_SIGPENDING", 11],
        ["RLIMIT_NICE", 13],
        ["RLIMIT_RTTIME", 15],
      ],
    ],
  );
  assert.equal(hardLimits("").size, 0);
});

test("checkFilesLimit: a hard limit above the kernel's is refused by name", async () => {
  const most = async () => 4096;
  for (const fine of [{}, { nofile: 4096 }, { nofile: "1:4096" }, { core: 5000 }]) await checkFilesLimit(fine, most);
  for (const nofile of [4097, "1:4097"]) {
    await assert.rejects(checkFilesLimit({ nofile }, most), {
      message: /"rlimits.nofile": 4097 .* 4096 .*fs\.nr_open/,
    });
  }
  await assert.rejects(checkFilesLimit({ nofile: Number.MAX_SAFE_INTEGER }), /fs\.nr_open/);
});
