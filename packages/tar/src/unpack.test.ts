import assert from "node:assert/strict";
import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { TarDecoder } from "./decoder.ts";
import { byteString } from "./files.ts";
import { localDirectory, localFiles } from "./local-files.ts";
import { staysInside } from "./names.ts";
import { Unpacker } from "./unpack.ts";
import { endOfArchive, tarArchive, tarEntry } from "./writer.ts";

interface Outcome {
  warnings: string[];
  error?: Error;
  /** Every file below the folder, `outside` included. */
  files: string[];
}

/** Unpacks into FOLDER/target, beside FOLDER/outside, and says what there is afterwards. */
async function unpack(archive: Buffer, prepare?: (folder: string) => Promise<void>): Promise<Outcome> {
  const folder = await fs.mkdtemp(join(tmpdir(), "hawser-unpack-"));
  try {
    await fs.mkdir(join(folder, "outside"));
    await fs.writeFile(join(folder, "outside/secret"), "untouched");
    await prepare?.(folder);
    const outcome: Outcome = { warnings: [], files: [] };
    const unpacker = new Unpacker({
      files: localFiles,
      parent: localDirectory(byteString(folder)),
      name: "target",
      root: "src",
      preserve: { mode: true, times: true, owner: false },
      onWarning: (text) => outcome.warnings.push(text),
    });
    const decoder = new TarDecoder();
    try {
      for (const event of decoder.push(archive)) await unpacker.take(event);
      decoder.finish();
      await unpacker.finish();
    } catch (error) {
      assert.ok(error instanceof Error);
      outcome.error = error;
      await unpacker.abort();
    }
    assert.equal(await fs.readFile(join(folder, "outside/secret"), "utf8"), "untouched");
    assert.deepEqual(await fs.readdir(join(folder, "outside")), ["secret"]);
    const all = await fs.readdir(folder, { recursive: true, withFileTypes: true });
    outcome.files = all.map((each) => join(each.parentPath, each.name).slice(folder.length + 1)).sort();
    outcome.files = outcome.files.filter((path) => !path.startsWith("outside"));
    return outcome;
  } finally {
    await fs.rm(folder, { recursive: true, force: true });
  }
}

const directory = tarEntry({ name: "src/", type: "5", mode: 0o755 });

describe("an archive that nobody vouches for", () => {
  const corrupt: Record<string, string> = {
    "an absolute name": "/etc/passwd",
    "a name that climbs first": "../outside/evil",
    "another tree's name": "other/file",
    "a name that only begins like the tree's": "src2/file",
  };
  for (const [what, name] of Object.entries(corrupt)) {
    it(`${what} is a corrupted archive`, async () => {
      const { error, files } = await unpack(tarArchive([directory, tarEntry({ name }, "evil")]));
      assert.deepEqual([error?.name, error?.message], ["TarError", "tar contents corrupted"]);
      assert.deepEqual(files, ["target"]);
    });
  }

  it("a name that climbs in its middle is skipped", async () => {
    const { warnings, error, files } = await unpack(
      tarArchive([directory, tarEntry({ name: "src/../../outside/evil" }, "x"), tarEntry({ name: "src/good" })]),
    );
    assert.equal(error, undefined);
    assert.deepEqual(files, ["target", "target/good"]);
    assert.deepEqual(warnings, ['warning: file "src/../../outside/evil" is outside target destination, skipping']);
  });

  it("nothing is written through a link that the archive brought", async () => {
    const { files, warnings } = await unpack(
      tarArchive([
        directory,
        tarEntry({ name: "src/sub/", type: "5" }),
        tarEntry({ name: "src/way", type: "2", linkname: "sub" }),
        tarEntry({ name: "src/way/evil" }, "x"),
        tarEntry({ name: "src/out", type: "2", linkname: "../outside" }),
        tarEntry({ name: "src/out/evil" }, "x"),
        tarEntry({ name: "src/abs", type: "2", linkname: "/tmp" }),
      ]),
    );
    assert.deepEqual(files, ["target", "target/out", "target/out/evil", "target/sub", "target/way"]);
    assert.deepEqual(warnings, [
      'warning: file "src/way/evil" is outside target destination, skipping',
      'warning: skipping symlink: "src/out" -> "../outside"',
      'warning: skipping symlink: "src/abs" -> "/tmp"',
    ]);
  });

  it("two links that together lead out do not", async () => {
    const { files, warnings } = await unpack(
      tarArchive([
        directory,
        tarEntry({ name: "src/a/b/", type: "5" }),
        tarEntry({ name: "src/a/up", type: "2", linkname: ".." }),
        tarEntry({ name: "src/out", type: "2", linkname: "a/up/../outside" }),
        tarEntry({ name: "src/out", type: "0" }, "a plain file"),
      ]),
    );
    assert.deepEqual(files, ["target", "target/a", "target/a/b", "target/a/up", "target/out"]);
    assert.deepEqual(warnings, ['warning: skipping symlink: "src/out" -> "a/up/../outside"']);
  });

  it("a link of the user's own below the target is not written through, but replaced", async () => {
    const { files } = await unpack(
      tarArchive([directory, tarEntry({ name: "src/secret" }, "evil"), tarEntry({ name: "src/dir/secret" }, "evil")]),
      async (folder) => {
        await fs.mkdir(join(folder, "target"));
        await fs.symlink("../outside/secret", join(folder, "target/secret"));
        await fs.symlink("../outside", join(folder, "target/dir"));
      },
    );
    assert.deepEqual(files, ["target", "target/dir", "target/secret"]);
  });

  it("a hard link leads to a file of this copy alone", async () => {
    const { files, warnings } = await unpack(
      tarArchive([
        directory,
        tarEntry({ name: "src/file" }, "x"),
        tarEntry({ name: "src/again", type: "1", linkname: "src/file" }),
        tarEntry({ name: "src/again", type: "1", linkname: "src/again" }),
        tarEntry({ name: "src/climb", type: "1", linkname: "src/../outside/secret" }),
        tarEntry({ name: "src/nothing", type: "1", linkname: "src/nope" }),
        tarEntry({ name: "src/way", type: "2", linkname: "file" }),
        tarEntry({ name: "src/through", type: "1", linkname: "src/way" }),
        tarEntry({ name: "src/dir", type: "1", linkname: "src" }),
      ]),
    );
    assert.deepEqual(files, ["target", "target/again", "target/file", "target/way"]);
    assert.equal(warnings.length, 4);
  });

  it("a hard link with an absolute target is a corrupted archive", async () => {
    const { error } = await unpack(
      tarArchive([directory, tarEntry({ name: "src/l", type: "1", linkname: "/etc/passwd" })]),
    );
    assert.equal(error?.message, "tar contents corrupted");
  });

  it("devices and pipes are never made, and set-id bits never set", async () => {
    const { files, warnings } = await unpack(
      tarArchive([
        directory,
        tarEntry({ name: "src/null", type: "3", devmajor: 1, devminor: 3 }),
        tarEntry({ name: "src/sda", type: "4", devmajor: 8 }),
        tarEntry({ name: "src/pipe", type: "6" }),
      ]),
    );
    assert.deepEqual(files, ["target"]);
    assert.equal(warnings.length, 3);
    const folder = await fs.mkdtemp(join(tmpdir(), "hawser-unpack-"));
    try {
      const unpacker = new Unpacker({
        files: localFiles,
        parent: localDirectory(byteString(folder)),
        name: "x",
        root: "x",
        preserve: { mode: true, times: false, owner: false },
      });
      const decoder = new TarDecoder();
      for (const event of decoder.push(tarEntry({ name: "x", mode: 0o6755 }))) await unpacker.take(event);
      await unpacker.finish();
      assert.equal((await fs.stat(join(folder, "x"))).mode & 0o7777, 0o755);
    } finally {
      await fs.rm(folder, { recursive: true, force: true });
    }
  });

  it("one name twice: the later file counts, and a file in a directory's place is an error", async () => {
    const twice = await unpack(
      tarArchive([directory, tarEntry({ name: "src/a" }, "1"), tarEntry({ name: "src/a" }, "2")]),
    );
    assert.deepEqual(twice.files, ["target", "target/a"]);
    const instead = await unpack(tarArchive([directory, tarEntry({ name: "src" }, "x")]));
    assert.match(instead.error?.message ?? "", /EISDIR/);
    assert.deepEqual(instead.files, ["target"]);
    const below = await unpack(
      tarArchive([directory, tarEntry({ name: "src/a" }, "1"), tarEntry({ name: "src/a/b" }, "2")]),
    );
    assert.match(below.error?.message ?? "", /ENOTDIR/);
    assert.deepEqual(below.files, ["target", "target/a"]);
  });

  it("a cut archive leaves no half of a file", async () => {
    const whole = tarArchive([
      directory,
      tarEntry({ name: "src/good" }, "1"),
      tarEntry({ name: "src/half" }, "x".repeat(5000)),
    ]);
    const { error, files } = await unpack(whole.subarray(0, 512 * 5));
    assert.match(error?.message ?? "", /unexpected EOF/);
    assert.deepEqual(files, ["target", "target/good"]);
  });

  it("garbage, endless extended headers and absurd depth are errors", async () => {
    const cases: [RegExp, Buffer][] = [
      [/checksum/, Buffer.alloc(4096, 0x61)],
      [
        /too many extended tar headers/,
        Buffer.concat(Array(100).fill(tarEntry({ name: "x", type: "x" }, "8 a=bcd\n"))),
      ],
      [/nests directories/, tarArchive([directory, tarEntry({ name: `src/${"a/".repeat(600)}b` })])],
      [/sparse file's map/, sparseEntry("1\n0\n999999\n", 10)],
      [/malformed map/, sparseEntry("no\n", 10)],
      [/more data than its map/, sparseEntry("0\n", 10)],
    ];
    for (const [message, archive] of cases) assert.match((await unpack(archive)).error?.message ?? "", message);
  });

  it("thousands of entries that are skipped end the copy", async () => {
    const device = tarEntry({ name: "src/d", type: "3" });
    const { error } = await unpack(Buffer.concat([directory, Buffer.concat(Array(100_001).fill(device))]));
    assert.match(error?.message ?? "", /had to be skipped/);
  });
});

it("a link stays inside when it climbs first, and no higher than the root", () => {
  for (const [target, depth, inside] of [
    ["a", 0, true],
    ["..", 0, false],
    ["../x", 1, true],
    ["../../x", 1, false],
    ["a/../b", 3, false],
    ["/a", 3, false],
    ["", 3, false],
    ["./../a", 1, true],
  ] as const) {
    assert.equal(staysInside(target, depth), inside, `${target} at ${depth}`);
  }
});

function sparseEntry(map: string, realSize: number): Buffer {
  const body = Buffer.concat([Buffer.from(map), Buffer.alloc(512 - map.length), Buffer.alloc(512, 1)]);
  return Buffer.concat([
    tarEntry({ name: "src/sparse" }, body, [
      ["GNU.sparse.major", "1"],
      ["GNU.sparse.minor", "0"],
      ["GNU.sparse.name", "src/sparse"],
      ["GNU.sparse.realsize", String(realSize)],
    ]),
    endOfArchive,
  ]);
}
