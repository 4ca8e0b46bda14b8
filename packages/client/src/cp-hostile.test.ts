// What a hostile container can send when files are copied out of it: one test for each of kubectl's own holes, and more.
import assert from "node:assert/strict";
import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { exitStatus } from "@hawser/api";
import type { ServerSession } from "@hawser/streaming";
import { endOfArchive, tarArchive, tarEntry } from "@hawser/tar";
import { createClient } from "./client.ts";
import { type CopyError, type CopyResult, copyFrom } from "./cp.ts";
import { fakeContainer } from "./testing/fake-container.ts";

interface Outcome {
  result?: CopyResult;
  error?: CopyError;
  warnings: string[];
  /** All there is in the target, sorted. */
  files: string[];
  /** Megabytes this process grew by. */
  grown: number;
}

type Send = (session: ServerSession, command: string[]) => Promise<void>;

/** Copies /data from a container that sends what it likes; nothing may change beside the target. */
async function attack(send: Buffer | Send): Promise<Outcome> {
  const folder = await fs.mkdtemp(join(tmpdir(), "hawser-hostile-"));
  try {
    const [home, victim] = [join(folder, "home"), join(folder, "victim")];
    await fs.mkdir(join(home, "here"), { recursive: true });
    await fs.mkdir(victim);
    await fs.writeFile(join(victim, "authorized_keys"), "mine");
    const answer = async (command: string[], session: ServerSession) => {
      if (typeof send === "function") await send(session, command).catch(() => {});
      else {
        await session.stdout?.write(send);
        await session.finish(exitStatus(0));
      }
      return true;
    };
    await using container = await fakeContainer({ directory: folder, answer });
    await using client = createClient(container.server.config);
    const outcome: Outcome = { warnings: [], files: [], grown: 0 };
    const before = process.memoryUsage.rss();
    const request = { namespace: "default", pod: "evil", path: "/data", to: join(home, "here/data") };
    try {
      outcome.result = await copyFrom(client, { ...request, onWarning: (line) => outcome.warnings.push(line) });
    } catch (error) {
      assert.ok(error instanceof Error);
      outcome.error = error as CopyError; // its code is looked at below
    }
    outcome.grown = (process.memoryUsage.rss() - before) / 1024 / 1024;
    assert.deepEqual(await fs.readdir(folder), ["home", "victim"]);
    assert.deepEqual(await fs.readdir(home), ["here"]);
    assert.deepEqual(await fs.readdir(victim), ["authorized_keys"]);
    assert.equal(await fs.readFile(join(victim, "authorized_keys"), "utf8"), "mine");
    const all = await fs.readdir(join(home, "here"), { recursive: true, withFileTypes: true }); // which follows no links
    outcome.files = all.map(({ parentPath, name }) => join(parentPath, name).slice(join(home, "here/").length)).sort();
    return outcome;
  } finally {
    await fs.rm(folder, { recursive: true, force: true });
  }
}

const directory = tarEntry({ name: "data/", type: "5", mode: 0o755 });
const evil = "ssh-ed25519 evil";

it("CVE-2018-1002100: names that climb, or are absolute, write nothing", async () => {
  const climbing = await attack(
    tarArchive([directory, tarEntry({ name: "data/../../../victim/authorized_keys" }, evil)]),
  );
  assert.deepEqual(climbing.files, ["data"]);
  assert.match(climbing.warnings[0] ?? "", /is outside target destination, skipping$/);
  for (const name of ["../../victim/authorized_keys", "/victim/authorized_keys", "/data/x", "victim/x"]) {
    const { error, files } = await attack(tarArchive([directory, tarEntry({ name }, evil)]));
    assert.deepEqual(
      [error?.name, error?.code, error?.message],
      ["CopyError", "corrupt", "tar contents corrupted"],
      name,
    );
    assert.deepEqual(files, ["data"]);
  }
});

it("CVE-2019-1002101: a link out of the target is not made, and nothing goes through one", async () => {
  const { files, warnings } = await attack(
    tarArchive([
      directory,
      tarEntry({ name: "data/out", type: "2", linkname: "../../../victim" }),
      tarEntry({ name: "data/out/authorized_keys" }, evil),
      tarEntry({ name: "data/key", type: "2", linkname: "/victim/authorized_keys" }),
      tarEntry({ name: "data/key" }, evil),
    ]),
  );
  assert.deepEqual(files, ["data", "data/key", "data/out", "data/out/authorized_keys"]);
  assert.deepEqual(warnings, [
    'warning: skipping symlink: "data/out" -> "../../../victim"',
    'warning: skipping symlink: "data/key" -> "/victim/authorized_keys"',
  ]);
});

it("CVE-2019-11246: a link made by one entry and entered by the next, in all its spellings", async () => {
  const { files, warnings } = await attack(
    tarArchive([
      directory,
      tarEntry({ name: "data/./a", type: "2", linkname: "." }),
      tarEntry({ name: "data//a/b", type: "2", linkname: "../.." }),
      tarEntry({ name: "data/a/./b/authorized_keys" }, evil),
      tarEntry({ name: "data/a/../../victim", type: "5" }),
      tarEntry({ name: "data", type: "2", linkname: "../../victim" }),
      tarEntry({ name: "data/authorized_keys2" }, evil),
    ]),
  );
  assert.deepEqual(files, ["data", "data/a", "data/authorized_keys2"]);
  assert.equal(warnings.length, 4, warnings.join("\n"));
});

it("CVE-2019-11249: a directory's name leads out after the tree's own name was stripped", async () => {
  const names = ["data/../../../victim/", "data/sub/../../../../victim/", "data/.."];
  const { files, warnings, error } = await attack(
    tarArchive([directory, ...names.map((name) => tarEntry({ name, type: "5", mode: 0o777 }))]),
  );
  assert.equal(error, undefined);
  assert.deepEqual(files, ["data"]);
  assert.equal(warnings.length, 3);
});

it("CVE-2019-11251: two links, each harmless, that together lead out", async () => {
  const { files, warnings } = await attack(
    tarArchive([
      directory,
      tarEntry({ name: "data/a/b/c/", type: "5" }),
      tarEntry({ name: "data/a/b/c/up", type: "2", linkname: "../../.." }),
      tarEntry({ name: "data/out", type: "2", linkname: "a/b/c/up/../../../victim" }),
      tarEntry({ name: "data/out/authorized_keys" }, evil),
      tarEntry({ name: "data/a/b/c/up/key" }, evil),
    ]),
  );
  assert.deepEqual(files, [
    ...["data", "data/a", "data/a/b", "data/a/b/c", "data/a/b/c/up"],
    ...["data/out", "data/out/authorized_keys"],
  ]);
  assert.deepEqual(warnings, [
    'warning: skipping symlink: "data/out" -> "a/b/c/up/../../../victim"',
    'warning: file "data/a/b/c/up/key" is outside target destination, skipping',
  ]);
});

it("a hard link to a file outside is refused, and so is what would write into one", async () => {
  const climbing = await attack(
    tarArchive([
      directory,
      tarEntry({ name: "data/key", type: "1", linkname: "data/../../../victim/authorized_keys" }),
      tarEntry({ name: "data/key" }, evil),
    ]),
  );
  assert.deepEqual(climbing.files, ["data", "data/key"]);
  const absolute = await attack(
    tarArchive([directory, tarEntry({ name: "data/key", type: "1", linkname: "/victim/x" })]),
  );
  assert.equal(absolute.error?.code, "corrupt");
});

it("devices, pipes and set-id bits do not arrive", async () => {
  const { result, warnings } = await attack(
    tarArchive([
      directory,
      tarEntry({ name: "data/mem", type: "3", devmajor: 1, devminor: 1 }),
      tarEntry({ name: "data/disk", type: "4", devmajor: 8 }),
      tarEntry({ name: "data/pipe", type: "6" }),
    ]),
  );
  assert.deepEqual(result, { files: 0, directories: 1, links: 0, skipped: 3, bytes: 0 });
  assert.equal(warnings.length, 3);
});

it("an archive that is cut, is garbage or is empty is an error, and leaves nothing half", async () => {
  const whole = tarArchive([directory, tarEntry({ name: "data/f" }, "x".repeat(100_000))]);
  const cases: [Buffer, string, RegExp][] = [
    [whole.subarray(0, 50_000), "truncated", /unexpected EOF/],
    [whole.subarray(0, 700), "truncated", /unexpected EOF/],
    [Buffer.alloc(0), "truncated", /unexpected EOF/],
    [endOfArchive, "truncated", /unexpected EOF/],
    [Buffer.alloc(10_000, "not a tar"), "corrupt", /checksum/],
    [Buffer.concat([directory, Buffer.alloc(512, 0xff)]), "corrupt", /tar header/],
  ];
  for (const [archive, code, message] of cases) {
    const { error, files } = await attack(archive);
    assert.equal(error?.code, code);
    assert.match(error?.message ?? "", message);
    assert.deepEqual(
      files.filter((path) => path !== "data"),
      [],
    );
  }
});

/** Sends the same again and again until it is told to stop. */
function endless(head: Buffer, part: Buffer): Send {
  return async (session) => {
    await session.stdout?.write(head);
    for (;;) await session.stdout?.write(part); // until the client has gone
  };
}

it("endless headers, endless refusals, and endless bytes after the end are ended, in bounded memory", async () => {
  const many = (entry: Buffer) => Buffer.concat(Array(200).fill(entry));
  const bombs: [Send, RegExp][] = [
    [endless(directory, many(tarEntry({ name: "x", type: "g" }, "8 a=bcd\n"))), /too many extended tar headers/],
    [endless(directory, many(tarEntry({ name: "data/null", type: "3" }))), /entries had to be skipped/],
    [endless(Buffer.concat([directory, endOfArchive]), Buffer.alloc(64 * 1024)), /followed by something else/],
  ];
  for (const [send, message] of bombs) {
    const { error, grown } = await attack(send);
    assert.equal(error?.code, "corrupt");
    assert.match(error?.message ?? "", message);
    assert.ok(grown < 100, `grown by ${grown} MB`);
  }
});

it("an extended header of a gigabyte is refused before it is kept", async () => {
  const head = tarEntry({ name: "x", type: "x" }, "");
  head.write("10000000000\0", 124, "latin1");
  head.fill(" ", 148, 156);
  const sum = head.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  head.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  const { error } = await attack(head);
  assert.equal(error?.message, "extended tar header is longer than 1 MiB");
});

it("a link that is asked for itself is followed in the container only", async () => {
  const asked: string[][] = [];
  const { error } = await attack(async (session, command) => {
    asked.push(command);
    await session.stdout?.write(tarArchive([tarEntry({ name: "data", type: "2", linkname: "/data" })]));
    await session.finish(exitStatus(0));
  });
  assert.equal(error?.code, "kind");
  assert.equal(asked.length, 9);
});
