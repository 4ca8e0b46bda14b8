import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { it } from "node:test";
import { promisify } from "node:util";
import { removeTree } from "@hawser/files";
import { createLogger } from "@hawser/trace";
import { writableLayer } from "./writable-layer.ts";

const lines: string[] = [];
const log = createLogger({ sink: { write: (line) => lines.push(line) } });

it("writableLayer: counts files and directories, and keeps the result for 5 s", async () => {
  const upper = await mkdtemp(path.join(tmpdir(), "hawser-upper-"));
  try {
    await mkdir(path.join(upper, "a/b"), { recursive: true });
    await writeFile(path.join(upper, "a/b/file"), Buffer.alloc(8192, "x"));
    const first = await writableLayer({ log }, upper, 1n);
    assert.equal(first?.inodes, 3n);
    assert.ok((first?.bytes ?? 0n) >= 8192n);
    await writeFile(path.join(upper, "more"), "");
    assert.equal((await writableLayer({ log }, upper, 2n))?.inodes, 3n);
    assert.equal((await writableLayer({ log }, upper, 5_000_000_001n))?.inodes, 4n);
  } finally {
    await rm(upper, { recursive: true });
  }
});

it("writableLayer: goes on while its files come and go", async () => {
  const upper = await mkdtemp(path.join(tmpdir(), "hawser-upper-"));
  const files = Array.from({ length: 200 }, (_, n) => path.join(upper, String(n)));
  try {
    await Promise.all(files.map((file) => writeFile(file, "")));
    const [usage] = await Promise.all([writableLayer({ log }, upper, 1n), ...files.map((file) => rm(file))]);
    assert.ok(usage && usage.inodes <= 200n);
  } finally {
    await rm(upper, { recursive: true });
  }
});

it("writableLayer: counts what lies deeper than a path can tell, whatever its name", async () => {
  const upper = await mkdtemp(path.join(tmpdir(), "hawser-upper-"));
  const script =
    'cd "$1"; : > "$(printf "a\\377b")"; for i in $(seq 200); do mkdir "$2" && cd -P "./$2"; done; echo x > file';
  try {
    await promisify(execFile)("/bin/sh", ["-c", script, "sh", upper, "d".repeat(40)]);
    assert.equal((await writableLayer({ log }, upper, 1n))?.inodes, 202n);
  } finally {
    await removeTree(upper);
  }
});

it("writableLayer: undefined where there is none", async () => {
  assert.equal(await writableLayer({ log }, "/no/such/upper", 1n), undefined);
});

it("writableLayer: undefined for what cannot be measured, and the log says so once", async () => {
  const upper = path.join(tmpdir(), "x".repeat(300)); // no name is as long
  lines.length = 0;
  for (const now of [1n, 2n]) assert.equal(await writableLayer({ log }, upper, now), undefined);
  assert.equal(lines.length, 1);
  assert.match(lines[0] ?? "", /cannot be measured.*ENAMETOOLONG/);
});
