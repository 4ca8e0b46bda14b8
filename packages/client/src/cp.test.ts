import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import * as fs from "node:fs/promises";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { describe, it } from "node:test";
import { promisify } from "node:util";
import { exitStatus } from "@hawser/api";
import type { ServerSession } from "@hawser/streaming";
import { type CopyProgress, copyFrom, copyTo } from "./cp.ts";
import { digest, openPlace, target } from "./testing/cp-place.ts";

async function makeTree(folder: string): Promise<void> {
  await fs.mkdir(join(folder, "tree/sub/empty"), { recursive: true });
  await fs.writeFile(join(folder, "tree/-dash"), "dash");
  await fs.writeFile(join(folder, "tree/sub/with space\nand line"), "odd", { mode: 0o640 });
  await fs.symlink("sub", join(folder, "tree/link"));
  await fs.utimes(join(folder, "tree/-dash"), 1_600_000_000, 1_600_000_000);
}

async function checkTree(path: string): Promise<void> {
  assert.equal(await fs.readFile(join(path, "-dash"), "utf8"), "dash");
  assert.equal((await fs.stat(join(path, "-dash"))).mtimeMs, 1_600_000_000_000);
  assert.equal((await fs.stat(join(path, "sub/with space\nand line"))).mode & 0o777, 0o640);
  assert.equal(await fs.readlink(join(path, "link")), "sub");
  assert.deepEqual(await fs.readdir(join(path, "sub/empty")), []);
}

describe("copyFrom", () => {
  it("takes a directory, and what it takes looks as it did", async () => {
    await using place = await openPlace();
    await makeTree(place.there);
    const to = join(place.here, "new/copy");
    const result = await copyFrom(place.client, { ...target, path: "tree", to });
    assert.deepEqual(result, { files: 2, directories: 3, links: 1, skipped: 0, bytes: 7 });
    await checkTree(to);
    assert.deepEqual(place.container.commands, [["tar", "cf", "-", "tree"]]);
  });

  it("takes an absolute path, with a trailing slash or dot, without words of tar", async () => {
    for (const end of ["", "/", "/."]) {
      await using place = await openPlace();
      await makeTree(place.there);
      const warnings: string[] = [];
      const onWarning = (line: string) => warnings.push(line);
      await copyFrom(place.client, {
        ...target,
        path: `${place.there}/tree${end}`,
        to: join(place.here, "x"),
        onWarning,
      });
      await checkTree(join(place.here, "x"));
      assert.deepEqual(warnings, []);
    }
  });

  it("takes the working directory, and a name that looks like an option", async () => {
    await using place = await openPlace();
    await makeTree(place.there);
    await fs.writeFile(join(place.there, "--help"), "helped");
    await copyFrom(place.client, { ...target, path: ".", to: join(place.here, "all") });
    await checkTree(join(place.here, "all/tree"));
    await copyFrom(place.client, { ...target, path: "--help", to: join(place.here, "one") });
    assert.equal(await fs.readFile(join(place.here, "one"), "utf8"), "helped");
  });

  it("puts a file into a directory, over a file, and through the user's own link", async () => {
    await using place = await openPlace();
    await fs.writeFile(join(place.there, "f"), "new");
    await fs.writeFile(join(place.here, "old"), "old");
    await fs.symlink("old", join(place.here, "link"));
    await copyFrom(place.client, { ...target, path: "f", to: place.here });
    await copyFrom(place.client, { ...target, path: "f", to: join(place.here, "link") });
    assert.equal(await fs.readFile(join(place.here, "f"), "utf8"), "new");
    assert.equal(await fs.readFile(join(place.here, "old"), "utf8"), "new");
    assert.equal(await fs.readlink(join(place.here, "link")), "old");
  });

  it("follows a link that is itself asked for", async () => {
    await using place = await openPlace();
    await fs.mkdir(join(place.there, "d"));
    await fs.writeFile(join(place.there, "d/real"), "content");
    await fs.symlink("d/real", join(place.there, "one"));
    await fs.symlink(join(place.there, "one"), join(place.there, "two"));
    await fs.symlink("loop", join(place.there, "loop"));
    const to = join(place.here, "x");
    await copyFrom(place.client, { ...target, path: "two", to });
    await assert.equal(await fs.readFile(to, "utf8"), "content");
    await assert.rejects(copyFrom(place.client, { ...target, path: "loop", to }), /too many links/);
  });

  it("gives one file's content to a stream, Node's or the web's, and no directory's", async () => {
    await using place = await openPlace();
    await makeTree(place.there);
    const content = randomBytes(300_000);
    await fs.writeFile(join(place.there, "f"), content);
    const node = new PassThrough({ highWaterMark: 1 << 20 });
    const progress: unknown[] = [];
    await copyFrom(place.client, { ...target, path: "f", to: node, onProgress: (each) => progress.push(each) });
    assert.ok(content.equals(node.read()));
    assert.deepEqual(progress.at(-1), { bytes: 300_000, total: 300_000, name: "f" });
    const parts: Uint8Array[] = [];
    const web = new WritableStream<Uint8Array>({ write: (chunk) => void parts.push(chunk) });
    await copyFrom(place.client, { ...target, path: "f", to: web });
    assert.ok(Buffer.concat(parts).equals(content));
    await assert.rejects(copyFrom(place.client, { ...target, path: "tree", to: new PassThrough() }), { code: "kind" });
  });

  it("fails for a pipe that is itself what is asked for, and leaves one in a tree out with a warning", async () => {
    await using place = await openPlace();
    await makeTree(place.there);
    await promisify(execFile)("mkfifo", [join(place.there, "tree/pipe")]);
    const warnings: string[] = [];
    const options = { ...target, to: join(place.here, "x"), onWarning: (line: string) => warnings.push(line) };
    const alone = copyFrom(place.client, { ...options, path: "tree/pipe" });
    await assert.rejects(alone, { code: "kind", message: "pipe is a special file: nothing was copied" });
    assert.deepEqual([await fs.readdir(place.here), warnings], [[], []]);
    assert.equal((await copyFrom(place.client, { ...options, path: "tree" })).skipped, 1);
    assert.deepEqual(warnings, ['warning: skipping special file: "tree/pipe"']);
  });

  it("says with tar's words and exit code that there is no such file", async () => {
    await using place = await openPlace();
    const warnings: string[] = [];
    const onWarning = (line: string) => warnings.push(line);
    const running = copyFrom(place.client, { ...target, path: "nope", to: join(place.here, "x"), onWarning });
    await assert.rejects(running, { name: "CopyError", code: "exit", exitCode: 2 });
    assert.match(warnings[0] ?? "", /nope: Cannot stat/);
    assert.deepEqual(await fs.readdir(place.here), []);
  });

  it("says that there is no tar, after asking the runtime too", async () => {
    await using place = await openPlace({ without: ["tar", "hawser.dev/archive"] });
    const running = copyFrom(place.client, { ...target, path: "f", to: join(place.here, "x") });
    await assert.rejects(running, { code: "no-tar", message: /pod "web" has no tar/ });
    assert.equal(place.container.commands[1]?.[0], "hawser.dev/archive");
  });

  it("goes on after its connection is cut, again and again, and the result is the same to the last byte", async () => {
    for (const shell of [true, false]) {
      await using place = await openPlace({
        cutAfter: [3_000_000, 2_500_000, 100],
        without: shell ? [] : ["sh"],
      });
      await fs.mkdir(join(place.there, "d"));
      await fs.writeFile(join(place.there, "d/large"), randomBytes(8_000_000));
      await fs.writeFile(join(place.there, "d/small"), "small");
      const retries: number[] = [];
      const to = join(place.here, "d");
      const onRetry = ({ offset }: { offset: number }) => retries.push(offset);
      await copyFrom(place.client, { ...target, path: "d", to, retries: 3, onRetry });
      assert.equal(await digest(join(to, "large")), await digest(join(place.there, "d/large")));
      assert.equal(await fs.readFile(join(to, "small"), "utf8"), "small");
      assert.equal(retries.length, 3);
      if (shell) assert.ok((retries[1] ?? 0) > (retries[0] ?? 0), String(retries));
      assert.deepEqual((await fs.readdir(to)).sort(), ["large", "small"], "nothing half is left");
    }
  });

  it("gives up after its retries, leaves nothing half, and never goes on in files that have changed", async () => {
    await using place = await openPlace({ cutAfter: [1_000_000, 1_000_000, 1_000_000] });
    const path = join(place.there, "f");
    await fs.writeFile(path, randomBytes(8_000_000));
    const to = join(place.here, "f");
    await assert.rejects(copyFrom(place.client, { ...target, path: "f", to }), { name: "StreamError" });
    assert.deepEqual(await fs.readdir(place.here), []);
    const changes = { ...target, path: "f", to, retries: -1, onRetry: () => {} };
    let changed: Promise<void> | undefined;
    changes.onRetry = () => {
      changed ??= fs.writeFile(path, randomBytes(8_000_000));
    };
    await assert.rejects(copyFrom(place.client, changes), { code: "changed" });
    await changed;
    assert.deepEqual(await fs.readdir(place.here), []);
  });

  it("ends when it is aborted, and leaves nothing half", async () => {
    await using place = await openPlace();
    await fs.writeFile(join(place.there, "f"), randomBytes(8_000_000));
    const stop = new AbortController();
    const onProgress = () => stop.abort(new Error("enough"));
    const running = copyFrom(place.client, {
      ...target,
      path: "f",
      to: join(place.here, "f"),
      signal: stop.signal,
      onProgress,
    });
    await assert.rejects(running, { message: "enough" });
    assert.deepEqual(await fs.readdir(place.here), []);
  });
});

it("a file that shrinks while it is taken is told of, and the old one stays", async () => {
  const pads = (path: string) =>
    `tar cf - ${path}; echo "tar: ${path}: File shrank by 17 bytes; padding with zeros" >&2; exit 1`;
  const answer = async (command: string[], session: ServerSession) => {
    const { stdout, stderr } = await promisify(execFile)("sh", ["-c", `(${pads("f")}) || true`], {
      ...{ cwd: place.there, encoding: "buffer" },
    });
    assert.deepEqual(command, ["tar", "cf", "-", "f"]);
    await session.stdout?.write(stdout);
    await session.stderr?.write(stderr);
    await session.finish(exitStatus(1));
    return true;
  };
  await using place = await openPlace({ answer });
  await fs.writeFile(join(place.there, "f"), Buffer.alloc(1000));
  const to = join(place.here, "f");
  await fs.writeFile(to, "old");
  const warnings: string[] = [];
  const copied = copyFrom(place.client, { ...target, path: "f", to, onWarning: (line) => warnings.push(line) });
  await assert.rejects(copied, { code: "exit", exitCode: 1 });
  assert.match(warnings.join(), /File shrank by 17 bytes/);
  assert.equal(await fs.readFile(to, "utf8"), "old");
  assert.deepEqual(await fs.readdir(place.here), ["f"]);
});

/** Of the commands of an upload that goes beside its place first. */
const isUnpacking = ([name, , script = ""]: string[]) => name === "sh" && script.startsWith("trap");

describe("copyTo", () => {
  it("brings a directory, which looks there as it does here", async () => {
    await using place = await openPlace();
    await makeTree(place.here);
    const result = await copyTo(place.client, { ...target, from: join(place.here, "tree"), path: "new" });
    assert.deepEqual(result, { files: 2, directories: 3, links: 1, skipped: 0, bytes: 7 });
    await checkTree(join(place.there, "new"));
    await copyTo(place.client, { ...target, from: join(place.here, "tree"), path: place.there });
    await checkTree(join(place.there, "tree"));
    await copyTo(place.client, { ...target, from: `${place.here}/tree/.`, path: "tree/sub" });
    await checkTree(join(place.there, "tree/sub"));
  });

  it("asks tar not to preserve what is not to be preserved", async () => {
    await using place = await openPlace();
    await makeTree(place.here);
    await copyTo(place.client, { ...target, from: join(place.here, "tree"), path: "new", preserve: false });
    assert.deepEqual(place.container.commands.at(-1)?.slice(9), [
      "tar",
      "--no-same-permissions",
      "--no-same-owner",
      "-xmf",
      "-",
    ]);
    const { mtimeMs } = await fs.stat(join(place.there, "new/-dash"));
    assert.ok(mtimeMs > 1_700_000_000_000);
  });

  it("brings a stream's content, of just the size that was said", async () => {
    await using place = await openPlace();
    const content = randomBytes(200_000);
    const from = {
      content: (async function* () {
        yield content;
      })(),
      size: content.length,
      name: "n",
      mode: 0o600,
    };
    await copyTo(place.client, { ...target, from, path: "." });
    assert.ok((await fs.readFile(join(place.there, "n"))).equals(content));
    assert.equal((await fs.stat(join(place.there, "n"))).mode & 0o777, 0o600);
    for (const size of [199_999, 200_001]) {
      const wrong = { content, size, name: "m" };
      await assert.rejects(copyTo(place.client, { ...target, from: wrong, path: "." }), { code: "kind" });
    }
  });

  it("fails for a device that is itself what is asked for, and asks the container nothing", async () => {
    await using place = await openPlace();
    const copied = copyTo(place.client, { ...target, from: "/dev/null", path: "/tmp/x" });
    await assert.rejects(copied, { code: "kind", message: "/dev/null is a special file: nothing was copied" });
    assert.deepEqual(place.container.commands, []);
  });

  it("says that there is no such file here, and passes tar's failure on", async () => {
    await using place = await openPlace();
    const from = join(place.here, "nope");
    await assert.rejects(copyTo(place.client, { ...target, from, path: "x" }), {
      code: "not-found",
      message: `${from} doesn't exist in local filesystem`,
    });
    assert.deepEqual(place.container.commands, []);
    await makeTree(place.here);
    const warnings: string[] = [];
    const onWarning = (line: string) => warnings.push(line);
    const running = copyTo(place.client, {
      ...target,
      from: join(place.here, "tree"),
      path: "no/such/place",
      onWarning,
    });
    await assert.rejects(running, { code: "exit", exitCode: 2 });
    assert.match(warnings.join("\n"), /no\/such.*No such file or directory/);
  });

  it("holes stay holes with GNU's tar", async () => {
    await using place = await openPlace();
    const path = join(place.here, "sparse");
    const file = await fs.open(path, "w");
    await file.truncate(100 * 1024 * 1024);
    await file.write("middle", 50 * 1024 * 1024);
    await file.close();
    await copyTo(place.client, { ...target, from: path, path: "s" });
    assert.equal(await digest(join(place.there, "s")), await digest(path));
    assert.ok((await fs.stat(join(place.there, "s"))).blocks * 512 < 1_000_000);
    await copyFrom(place.client, { ...target, path: "s", to: join(place.here, "back") });
    assert.equal(await digest(join(place.here, "back")), await digest(path));
    assert.ok((await fs.stat(join(place.here, "back"))).blocks * 512 < 1_000_000);
  });

  it("goes on in the middle of a large file, with its checksum in the end", async () => {
    const isCut = ([name, , script = ""]: string[]) => name === "sh" && /^(trap|cat)/.test(script);
    await using place = await openPlace({ cutAfter: [5_000_000, 4_000_000], isCut });
    const path = join(place.here, "-large");
    await fs.writeFile(path, randomBytes(16_000_000), { mode: 0o2640 });
    await fs.chmod(path, 0o2640);
    await fs.utimes(path, 1_600_000_000, 1_600_000_000);
    const told = new Set<string>();
    const onProgress = ({ name, total }: CopyProgress) => told.add(`${name} ${total}`);
    const result = await copyTo(place.client, { ...target, from: path, path: ".", retries: 2, onProgress });
    assert.deepEqual([...told], ["-large 16000000"]);
    assert.deepEqual(result, { files: 1, directories: 0, links: 0, skipped: 0, bytes: 16_000_000 });
    assert.equal(await digest(join(place.there, "-large")), await digest(path));
    const { mode, mtimeMs } = await fs.stat(join(place.there, "-large"));
    assert.deepEqual([mode & 0o7777, mtimeMs], [0o2640, 1_600_000_000_000]);
    const words = place.container.commands.map(([name = "", , script = ""]) =>
      name === "sh" ? script.split(" ")[0] : name,
    );
    const owner = `${process.getuid?.()}:${process.getgid?.()}`;
    const [, beside = "", ...finish] = place.container.commands.at(-2)?.slice(3) ?? [];
    assert.match(beside, /^\.hawser-cp-\w+$/);
    assert.deepEqual(finish, ["2640", "1600000000", owner]);
    assert.deepEqual(words, ["test", "trap", "wc", "cat", "wc", "cat", "chmod", "trap"]);
    assert.deepEqual(await fs.readdir(place.there), ["-large"]);
  });

  it("does not go on in a tree that has changed meanwhile", async () => {
    await using place = await openPlace({ cutAfter: [3_000_000], isCut: isUnpacking });
    const tree = join(place.here, "tree");
    await fs.mkdir(tree);
    for (let i = 0; i < 10; i++) await fs.writeFile(join(tree, `f${i}`), randomBytes(500_000));
    const running = copyTo(place.client, {
      ...target,
      from: tree,
      path: "tree",
      retries: 1,
      onRetry: () => {
        for (let i = 0; i < 10; i++) writeFileSync(join(tree, `f${i}`), "shorter");
      },
    });
    await assert.rejects(running, { code: "changed" });
  });

  it("goes on after its connection is cut, and what arrives is whole", async () => {
    await using place = await openPlace({ cutAfter: [3_000_000, 6_000_000], isCut: isUnpacking });
    const tree = join(place.here, "tree");
    await fs.mkdir(tree);
    for (let i = 0; i < 10; i++) await fs.writeFile(join(tree, `f${i}`), randomBytes(1_000_000));
    await fs.chmod(tree, 0o751);
    await copyTo(place.client, { ...target, from: tree, path: "tree", retries: 2 });
    for (const name of await fs.readdir(tree)) {
      assert.equal(await digest(join(place.there, "tree", name)), await digest(join(tree, name)), name);
    }
    assert.equal((await fs.stat(join(place.there, "tree"))).mode & 0o777, 0o751);
    const tars = place.container.commands.filter(isUnpacking);
    assert.deepEqual(tars[0]?.slice(9), ["tar", "-xpvf", "-"]);
    assert.equal(tars.length, 3);
  });
});
