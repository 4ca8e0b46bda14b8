import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { promisify } from "node:util";
import { TarDecoder } from "./decoder.ts";
import { byteString } from "./files.ts";
import { localDirectory, localFiles } from "./local-files.ts";
import { type PackedEntry, type PackOptions, packTree } from "./pack.ts";
import { Unpacker } from "./unpack.ts";

const run = promisify(execFile);
const second = 1_700_000_000;

async function temporary(): Promise<AsyncDisposable & { path: string }> {
  const path = await fs.mkdtemp(join(tmpdir(), "hawser-tar-"));
  return { path, [Symbol.asyncDispose]: () => fs.rm(path, { recursive: true, force: true }) };
}

/** A tree with one of everything. */
async function makeTree(path: string): Promise<void> {
  const tree = join(path, "tree");
  await fs.mkdir(join(tree, "empty"), { recursive: true });
  const long = join(tree, "d".repeat(200), "e".repeat(200));
  await fs.mkdir(long, { recursive: true });
  const files: Record<string, string> = {
    "empty-file": "",
    "with space": "a",
    "new\nline": "b",
    "-leading": "c",
    "ünï—cødé": "d",
    run: "#!/bin/sh\n",
    [join("d".repeat(200), "e".repeat(200), "f".repeat(200))]: "long",
  };
  for (const [name, content] of Object.entries(files)) await fs.writeFile(join(tree, name), content);
  await fs.writeFile(Buffer.concat([Buffer.from(`${tree}/raw-`), Buffer.from([0xff, 0xfe])]), "not UTF-8");
  await fs.chmod(join(tree, "run"), 0o4751);
  await fs.link(join(tree, "run"), join(tree, "run-again"));
  await fs.symlink("with space", join(tree, "link"));
  await fs.symlink(`../${"x".repeat(150)}`, join(tree, "empty", "dangling"));
  const sparse = await fs.open(join(tree, "sparse"), "w");
  await sparse.truncate(64 * 1024 * 1024);
  await sparse.write("middle", 20 * 1024 * 1024);
  await sparse.write("end", 64 * 1024 * 1024 - 3);
  await sparse.close();
  await fs.chmod(join(tree, "empty"), 0o750);
  for (const name of ["run", "empty", "with space"]) await fs.utimes(join(tree, name), second, second);
  await fs.utimes(tree, second, second);
}

function pack(folder: string, rest: Partial<PackOptions> = {}): AsyncGenerator<Buffer> {
  return packTree({ files: localFiles, parent: localDirectory(byteString(folder)), name: "tree", as: "tree", ...rest });
}

async function unpack(archive: AsyncIterable<Buffer>, folder: string, name = "tree"): Promise<string[]> {
  const warnings: string[] = [];
  const unpacker = new Unpacker({
    files: localFiles,
    parent: localDirectory(byteString(folder)),
    name,
    root: "tree",
    preserve: { mode: true, times: true, owner: true },
    onWarning: (text) => warnings.push(text),
  });
  const decoder = new TarDecoder();
  for await (const chunk of archive) for (const event of decoder.push(chunk)) await unpacker.take(event);
  decoder.finish();
  await unpacker.finish();
  return warnings;
}

/** What there is, with what it is made of. */
async function listing(folder: string): Promise<string> {
  const { stdout } = await run("find", [".", "-printf", "%P %y %m %s %n %l %T@\\n"], {
    cwd: folder,
    encoding: "latin1",
  });
  return stdout.split("\n").sort().join("\n");
}

async function contents(folder: string): Promise<string> {
  const { stdout } = await run("sh", ["-c", "find . -type f -print0 | sort -z | xargs -0 sha256sum"], { cwd: folder });
  return stdout;
}

/** Times to the second, and set-id bits gone: what an archive keeps, and what unpacking leaves. */
function kept(text: string): string {
  return text.replaceAll(/\.\d{10}$/gm, "").replaceAll(" f 4751 ", " f 751 ");
}

for (const sparse of [true, false]) {
  it(`packs and unpacks a tree with one of everything${sparse ? ", holes left out" : ""}`, async () => {
    await using folder = await temporary();
    await makeTree(folder.path);
    await fs.mkdir(join(folder.path, "there"));
    let size = 0;
    async function* counted() {
      for await (const chunk of pack(folder.path, { sparse })) {
        size += chunk.length;
        yield chunk;
      }
    }
    const warnings = await unpack(counted(), join(folder.path, "there"));
    assert.deepEqual(warnings, []); // the dangling link leads to a place in the tree
    const [before, after] = await Promise.all(["tree", "there/tree"].map((path) => listing(join(folder.path, path))));
    assert.equal(kept(after ?? ""), kept(before ?? ""));
    assert.equal(await contents(join(folder.path, "there/tree")), await contents(join(folder.path, "tree")));
    const { blocks } = await fs.stat(join(folder.path, "there/tree/sparse"));
    assert.ok(blocks * 512 < 1024 * 1024, "holes are holes again");
    if (sparse) assert.ok(size < 1024 * 1024, `${size} bytes were packed`);
  });
}

it("GNU tar reads what is packed, holes and long names and all", async () => {
  await using folder = await temporary();
  await makeTree(folder.path);
  const there = join(folder.path, "there");
  await fs.mkdir(there);
  const tar = spawn("tar", ["-xpf", "-", "-C", there], { stdio: ["pipe", "inherit", "inherit"] });
  const closed = once(tar, "close");
  for await (const chunk of pack(folder.path, { sparse: true }))
    if (!tar.stdin.write(chunk)) await once(tar.stdin, "drain");
  tar.stdin.end();
  assert.deepEqual(await closed, [0, null]);
  const [before, after] = await Promise.all([folder.path, there].map((path) => listing(join(path, "tree"))));
  const noFraction = (text = "") => text.replaceAll(/\.\d{10}$/gm, "");
  assert.equal(noFraction(after), noFraction(before));
  assert.equal(await contents(join(there, "tree")), await contents(join(folder.path, "tree")));
});

it("unpacks what GNU tar packs, in its own format and in pax", async () => {
  await using folder = await temporary();
  await makeTree(folder.path);
  for (const format of ["gnu", "pax", "ustar"]) {
    const there = join(folder.path, format);
    await fs.mkdir(there);
    const exclude = format === "ustar" ? ["--exclude=ddd*", "--exclude=dangling"] : [];
    const tar = spawn("tar", [...exclude, `--format=${format}`, "-cf", "-", "-C", folder.path, "tree"]);
    const closed = once(tar, "close");
    await unpack(tar.stdout, there);
    assert.deepEqual(await closed, [0, null], format);
    if (format === "ustar") continue;
    assert.equal(await contents(join(there, "tree")), await contents(join(folder.path, "tree")), format);
    const [before, after] = await Promise.all([folder.path, there].map((path) => listing(join(path, "tree"))));
    assert.equal(kept(after ?? ""), kept(before ?? ""), format);
  }
});

it("leaves out sockets and pipes, and says so", async () => {
  await using folder = await temporary();
  await fs.mkdir(join(folder.path, "tree"));
  await run("mkfifo", [join(folder.path, "tree/pipe")]);
  const warnings: string[] = [];
  let bytes = 0;
  for await (const chunk of pack(folder.path, { onWarning: (text) => warnings.push(text) })) bytes += chunk.length;
  assert.deepEqual(warnings, ['warning: skipping special file: "tree/pipe"']);
  assert.equal(bytes, 3 * 512);
});

it("goes on where an earlier archive was cut: what that had is left out", async () => {
  await using folder = await temporary();
  await makeTree(folder.path);
  const entries: PackedEntry[] = [];
  for await (const _ of pack(folder.path, { onEntry: (entry) => entries.push(entry) }));
  const after: PackedEntry[] = [];
  for await (const _ of pack(folder.path, { skip: 8, onEntry: (entry) => entry.left || after.push(entry) }));
  assert.deepEqual(
    after,
    entries.filter(({ index, type }) => index >= 8 || type === "5"),
  );
});

it("a file that shrinks while it is read is filled up with zeros, and told of", async () => {
  await using folder = await temporary();
  const path = join(folder.path, "tree");
  await fs.writeFile(path, Buffer.alloc(600_000, 1));
  const changed: string[] = [];
  let bytes = 0;
  for await (const chunk of pack(folder.path, { onChanged: (name) => changed.push(name) })) {
    if (bytes === 0) await fs.truncate(path, 1000);
    bytes += chunk.length;
  }
  assert.deepEqual(changed, ["tree"]);
  assert.equal(bytes, 512 + Math.ceil(600_000 / 512) * 512 + 1024);
});
